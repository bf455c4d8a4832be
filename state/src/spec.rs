//! What an operator says about its keyed state before the graph is built: types, names, versions.

use std::any::TypeId;
use std::marker::PhantomData;

use pelton_dataflow::graph::StateDecl;
use pelton_dataflow::key::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StateError;
use crate::fingerprint::{fingerprint, key_reads_back, reads_back, shape_or_name};

/// The state that holds an operator's one struct per key.
pub const VALUE: &str = "value";
/// The state that holds an operator's event-time timers.
pub const EVENT_TIMERS: &str = "timers";
/// The state that holds an operator's processing-time timers.
pub const PROCESSING_TIMERS: &str = "processing-timers";

/// What can be kept per key: a plain struct. A key whose state is `Default` again takes no space.
///
/// It is written in a format that does not say what its bytes are: of `serde`'s attributes `skip_serializing_if`, `untagged`, `tag`
/// and `flatten` are refused when the graph is built ([`reads_back`]), also within it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be keyed state",
    note = "state needs `#[derive(Default, Clone, PartialEq, Serialize, Deserialize)]`, and must own its data"
)]
pub trait State: Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<S: Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static> State for S {}

/// What can name a row of a [`MapTable`]: rows are ordered by it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot name the rows of a table",
    note = "it needs `#[derive(Serialize, Deserialize)]`, and must own its data"
)]
pub trait TableKey: Serialize + DeserializeOwned + 'static {}

impl<UK: Serialize + DeserializeOwned + 'static> TableKey for UK {}

/// What can be a row's value in a table.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a table",
    note = "it needs `#[derive(Clone, Serialize, Deserialize)]`, and must own its data"
)]
pub trait TableValue: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> TableValue for V {}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident<$($param:ident),*>) => {
        $(#[$doc])*
        pub struct $name<$($param),*> {
            name: &'static str,
            types: PhantomData<fn() -> ($($param,)*)>,
        }

        impl<$($param),*> $name<$($param),*> {
            /// The table `name`, unique within its operator.
            #[must_use]
            pub const fn new(name: &'static str) -> Self {
                Self { name, types: PhantomData }
            }

            /// Its name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.name
            }
        }

        impl<$($param),*> Clone for $name<$($param),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($param),*> Copy for $name<$($param),*> {}
    };
}

table! {
    /// The name of a map kept per key, one row per entry, ordered by `UK`.
    MapTable<UK, V>
}
table! {
    /// The name of a list kept per key, one row per element.
    ListTable<V>
}

/// Reads a row's value as an earlier schema version wrote it: given that version and the bytes.
pub type Upgrade<S> = fn(u16, &[u8]) -> Result<S, StateError>;

/// What an operator keeps per key: its struct, its tables, and whether it sets timers.
pub struct StateSpec<S> {
    pub(crate) version: Option<u16>,
    pub(crate) upgrade: Option<Upgrade<S>>,
    pub(crate) tables: Vec<TableSpec>,
    pub(crate) timers: bool,
}

impl<S> Clone for StateSpec<S> {
    fn clone(&self) -> Self {
        Self {
            version: self.version,
            upgrade: self.upgrade,
            tables: self.tables.clone(),
            timers: self.timers,
        }
    }
}

impl<S: State> Default for StateSpec<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: State> StateSpec<S> {
    /// A struct per key, of schema version 1, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self { version: None, upgrade: None, tables: Vec::new(), timers: false }
    }

    /// States the schema version of the struct: a type that cannot be traced needs one, and a
    /// changed type a higher one.
    #[must_use]
    pub fn version(mut self, version: u16) -> Self {
        self.version = Some(version);
        self
    }

    /// How rows of earlier versions are read.
    #[must_use]
    pub fn upgrade(mut self, upgrade: Upgrade<S>) -> Self {
        self.upgrade = Some(upgrade);
        self
    }

    /// Declares a map table.
    #[must_use]
    pub fn map<UK: TableKey, V: TableValue>(mut self, table: MapTable<UK, V>) -> Self {
        self.tables.push(TableSpec {
            name: table.name,
            kind: "map",
            types: TypeId::of::<MapTable<UK, V>>(),
            type_name: std::any::type_name::<MapTable<UK, V>>(),
            shape: |name| {
                key_reads_back::<UK>()?;
                reads_back::<V>()?;
                Ok(format!("{} -> {}", shape_of::<UK>(name)?, shape_of::<V>(name)?))
            },
        });
        self
    }

    /// Declares a list table.
    #[must_use]
    pub fn list<V: TableValue>(mut self, table: ListTable<V>) -> Self {
        self.tables.push(TableSpec {
            name: table.name,
            kind: "list",
            types: TypeId::of::<ListTable<V>>(),
            type_name: std::any::type_name::<ListTable<V>>(),
            shape: |name| {
                reads_back::<V>()?;
                shape_of::<V>(name)
            },
        });
        self
    }

    /// Declares that the operator sets timers.
    #[must_use]
    pub fn timers(mut self) -> Self {
        self.timers = true;
        self
    }

    /// The states that the operator's node declares in the graph.
    ///
    /// # Errors
    /// A type cannot be traced and no version is stated for it.
    pub fn decls<K: Key>(&self) -> Result<Vec<StateDecl>, StateError> {
        let key = key_shape::<K>()?;
        let mut decls = Vec::new();
        // An operator that keeps nothing but tables and timers has `()` for its struct.
        if size_of::<S>() > 0 {
            decls.push(self.value_decl(VALUE, &key)?);
        }
        for table in &self.tables {
            decls.push(StateDecl {
                name: table.name,
                kind: table.kind,
                type_name: table.type_name.to_owned(),
                fingerprint: format!("{key} / {}", (table.shape)(table.type_name)?),
                version: 1,
            });
        }
        if self.timers {
            for name in [EVENT_TIMERS, PROCESSING_TIMERS] {
                let type_name = std::any::type_name::<K>().to_owned();
                let fingerprint = key.clone();
                decls.push(StateDecl { name, kind: "timers", type_name, fingerprint, version: 1 });
            }
        }
        Ok(decls)
    }

    /// The state that a window operator's node declares for its panes, under the name `state`.
    ///
    /// # Errors
    /// As [`StateSpec::decls`].
    pub fn pane_decl<K: Key>(&self, state: &'static str) -> Result<StateDecl, StateError> {
        let key = key_shape::<K>()?;
        let decl = self.value_decl(state, &key)?;
        Ok(StateDecl { kind: "panes", ..decl })
    }

    fn value_decl(&self, name: &'static str, key: &str) -> Result<StateDecl, StateError> {
        reads_back::<S>()?;
        let shape = match (fingerprint::<S>(), self.version) {
            (Ok(shape), _) => shape.to_string(),
            // With a stated version the shape is the user's word.
            (Err(_), Some(_)) => std::any::type_name::<S>().to_owned(),
            (Err(untraceable), None) => return Err(untraceable),
        };
        Ok(StateDecl {
            name,
            kind: "value",
            type_name: std::any::type_name::<S>().to_owned(),
            fingerprint: format!("{key} -> {shape}"),
            version: self.version.unwrap_or(1),
        })
    }
}

fn key_shape<K: Key>() -> Result<String, StateError> {
    key_reads_back::<K>()?;
    Ok(shape_or_name::<K>())
}

fn shape_of<T: DeserializeOwned + 'static>(_table: &'static str) -> Result<String, StateError> {
    fingerprint::<T>().map(|shape| shape.to_string())
}

/// A declared table, with its types erased.
#[derive(Clone)]
pub(crate) struct TableSpec {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) types: TypeId,
    pub(crate) type_name: &'static str,
    shape: fn(&'static str) -> Result<String, StateError>,
}
