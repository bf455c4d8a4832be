//! Countries: their codes, and how far apart they are.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

macro_rules! countries {
    ($($code:ident $name:literal $latitude:literal $longitude:literal,)*) => {
        /// A country on the map of this example, by its two-letter code (ISO 3166-1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Country {
            $(
                #[doc = $name]
                $code,
            )*
        }

        impl Country {
            /// All countries.
            pub const ALL: &[Self] = &[$(Self::$code),*];
        }

        /// Latitude and longitude in degrees, roughly in the middle of where people live.
        const PLACES: &[(f64, f64)] = &[$(($latitude, $longitude)),*];
    };
}

countries! {
    DE "Germany" 51.0 10.0,
    FR "France" 47.0 2.0,
    NL "Netherlands" 52.3 5.5,
    BE "Belgium" 50.8 4.5,
    AT "Austria" 47.6 14.1,
    CH "Switzerland" 46.9 8.0,
    IT "Italy" 42.8 12.8,
    ES "Spain" 40.2 -3.6,
    PL "Poland" 52.1 19.4,
    DK "Denmark" 56.0 10.0,
    SE "Sweden" 59.0 15.5,
    GB "United Kingdom" 52.6 -1.5,
    IE "Ireland" 53.2 -8.0,
    PT "Portugal" 39.7 -8.0,
    US "United States" 39.0 -90.0,
    CA "Canada" 45.0 -78.0,
    MX "Mexico" 20.0 -100.0,
    BR "Brazil" -19.0 -46.0,
    ZA "South Africa" -28.0 26.0,
    NG "Nigeria" 8.5 7.5,
    IN "India" 22.0 79.0,
    JP "Japan" 36.0 138.0,
    SG "Singapore" 1.3 103.8,
    AU "Australia" -34.0 147.0,
}

const COUNTRIES: usize = PLACES.len();

static DISTANCES: LazyLock<[[u32; COUNTRIES]; COUNTRIES]> = LazyLock::new(|| {
    std::array::from_fn(|from| std::array::from_fn(|to| great_circle_km(PLACES[from], PLACES[to])))
});

impl Country {
    /// The distance between the middles of two countries, in kilometres.
    #[must_use]
    pub fn km_to(self, other: Self) -> u32 {
        DISTANCES[self as usize][other as usize]
    }
}

/// The haversine formula on a sphere of the Earth's mean radius.
fn great_circle_km((lat1, lon1): (f64, f64), (lat2, lon2): (f64, f64)) -> u32 {
    let (lat1, lon1, lat2, lon2) =
        (lat1.to_radians(), lon1.to_radians(), lat2.to_radians(), lon2.to_radians());
    let half_chord =
        ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
    (2.0 * 6_371.0 * half_chord.sqrt().asin()) as u32
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Country::{AU, BR, DE, FR, JP};
    use super::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        assert_eq!(DE.km_to(DE), 0);
        assert!((500..900).contains(&DE.km_to(FR)));
        assert!((15_000..17_000).contains(&DE.km_to(AU)));
        assert_eq!(JP.km_to(BR), BR.km_to(JP));
    }

    #[test]
    fn a_country_is_written_as_its_code() {
        for &country in Country::ALL {
            let json = format!("\"{country}\"");
            assert_eq!(serde_json::to_string(&country).unwrap(), json);
            assert_eq!(serde_json::from_str::<Country>(&json).unwrap(), country);
        }
        assert!(serde_json::from_str::<Country>("\"XX\"").is_err());
    }
}
