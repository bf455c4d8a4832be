//! The checkpoint store of a world: in memory, shared by all processes, and failing when told.

use std::fmt;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use pelton::state::checkpoint::store::CheckpointStore;

use super::faults::{Call, Fault, Faults};

#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    faults: Faults,
}

/// An empty store.
pub fn flaky(faults: Faults) -> CheckpointStore {
    CheckpointStore::over(Box::new(Flaky { inner: InMemory::new(), faults }), "memory:").unwrap()
}

fn down() -> object_store::Error {
    object_store::Error::Generic { store: "flaky", source: "connection lost".into() }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.faults.take(Call::Put);
        if fault == Some(Fault::Before) {
            return Err(down());
        }
        let result = self.inner.put_opts(path, payload, options).await;
        if fault.is_some() { Err(down()) } else { result }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.faults.take(Call::Delete).is_some() {
            return Box::pin(futures::stream::once(async { Err(down()) }));
        }
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
