//! Countries: their codes, and how far apart they are.

use std::fmt;
use std::sync::LazyLock;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A country by its two-letter code (ISO 3166-1), as `DE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of `code`, if that is two capital letters.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters, by construction")
    }

    /// The distance between the middles of two countries, in kilometres; `None` if one of them
    /// is not on the map of this example.
    #[must_use]
    pub fn km_to(self, other: Self) -> Option<u32> {
        Some(DISTANCES[self.on_map()?][other.on_map()?])
    }

    fn on_map(self) -> Option<usize> {
        MAP.iter().position(|(code, ..)| *code.as_bytes() == self.0)
    }
}

/// The number of countries on the map.
pub const COUNTRIES: usize = MAP.len();

/// A country on the map; `index` is less than [`COUNTRIES`].
#[must_use]
pub fn on_map(index: usize) -> Country {
    let code = MAP[index].0.as_bytes();
    Country([code[0], code[1]])
}

/// Code, latitude and longitude, in degrees, roughly in the middle of where people live.
const MAP: [(&str, f64, f64); 24] = [
    ("DE", 51.0, 10.0),
    ("FR", 47.0, 2.0),
    ("NL", 52.3, 5.5),
    ("BE", 50.8, 4.5),
    ("AT", 47.6, 14.1),
    ("CH", 46.9, 8.0),
    ("IT", 42.8, 12.8),
    ("ES", 40.2, -3.6),
    ("PL", 52.1, 19.4),
    ("DK", 56.0, 10.0),
    ("SE", 59.0, 15.5),
    ("GB", 52.6, -1.5),
    ("IE", 53.2, -8.0),
    ("PT", 39.7, -8.0),
    ("US", 39.0, -90.0),
    ("CA", 45.0, -78.0),
    ("MX", 20.0, -100.0),
    ("BR", -19.0, -46.0),
    ("ZA", -28.0, 26.0),
    ("NG", 8.5, 7.5),
    ("IN", 22.0, 79.0),
    ("JP", 36.0, 138.0),
    ("SG", 1.3, 103.8),
    ("AU", -34.0, 147.0),
];

static DISTANCES: LazyLock<[[u32; COUNTRIES]; COUNTRIES]> = LazyLock::new(|| {
    std::array::from_fn(|from| std::array::from_fn(|to| great_circle_km(MAP[from], MAP[to])))
});

/// The haversine formula on a sphere of the Earth's mean radius.
fn great_circle_km((_, lat1, lon1): (&str, f64, f64), (_, lat2, lon2): (&str, f64, f64)) -> u32 {
    let (lat1, lon1, lat2, lon2) =
        (lat1.to_radians(), lon1.to_radians(), lat2.to_radians(), lon2.to_radians());
    let half_chord =
        ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
    (2.0 * 6_371.0 * half_chord.sqrt().asin()) as u32
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl Visitor<'_> for Code {
            type Value = Country;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a country code of two capital letters")
            }
            fn visit_str<E: de::Error>(self, code: &str) -> Result<Country, E> {
                Country::new(code).ok_or_else(|| E::invalid_value(de::Unexpected::Str(code), &self))
            }
        }
        deserializer.deserialize_str(Code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn km(from: &str, to: &str) -> Option<u32> {
        Country::new(from).unwrap().km_to(Country::new(to).unwrap())
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        assert_eq!(km("DE", "DE"), Some(0));
        assert!((500..900).contains(&km("DE", "FR").unwrap()));
        assert!((15_000..17_000).contains(&km("DE", "AU").unwrap()));
        assert_eq!(km("JP", "BR"), km("BR", "JP"));
        assert_eq!(km("DE", "XX"), None);
    }

    #[test]
    fn a_code_is_two_capital_letters() {
        for wrong in ["", "D", "de", "DEU", "D1", "Ä"] {
            assert_eq!(Country::new(wrong), None, "{wrong}");
            assert!(serde_json::from_str::<Country>(&format!("\"{wrong}\"")).is_err());
        }
    }
}
