//! Impossible travel: two payments further apart than anyone travels in the time between them.

use serde::{Deserialize, Serialize};

use crate::payments::{Alert, Country, EventTime, Payment, Rule};

/// Thresholds of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImpossibleTravel {
    /// The speed that nobody exceeds from one country to another, in kilometres an hour.
    pub speed_kmh: u32,
    /// Distances up to this are near: people live at borders, and countries are larger than
    /// their middle.
    pub near_km: u32,
}

impl Default for ImpossibleTravel {
    fn default() -> Self {
        Self { speed_kmh: 1_000, near_km: 400 }
    }
}

/// Where a card paid, at its latest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When.
    pub at: EventTime,
    /// The payment.
    pub id: u64,
    /// Where.
    pub country: Country,
}

impl ImpossibleTravel {
    /// Judges `payment` by where the card was `seen`, and remembers it if it is later.
    pub fn check(&self, payment: &Payment, seen: &mut Option<Sighting>) -> Option<Alert> {
        let here = Sighting { at: payment.time, id: payment.id, country: payment.country };
        let Some(there) = *seen else {
            *seen = Some(here);
            return None;
        };
        if here.at >= there.at {
            *seen = Some(here);
        }
        if here.country == there.country {
            return None;
        }
        let km = here.country.km_to(there.country);
        let between = here.at.since(there.at).max(there.at.since(here.at));
        let travelled = u128::from(self.speed_kmh) * between.as_millis() / 3_600_000;
        let impossible = u128::from(km) > u128::from(self.near_km) + travelled;
        // From the other side of the globe it is sure.
        let score = (50 + km / 200).min(100) as u8;
        impossible.then(|| Alert::new(Rule::ImpossibleTravel, payment, vec![there.id, here.id], score))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::paid_in;
    use super::*;
    use crate::payments::Country::{AU, BE, DE, NL};

    /// Ids of payments given as (country, minute), numbered from 0, that raise an alert.
    fn raised(payments: &[(Country, i64)]) -> Vec<Vec<u64>> {
        let (rule, mut seen) = (ImpossibleTravel::default(), None);
        (0..)
            .zip(payments)
            .filter_map(|(id, &(country, minute))| {
                rule.check(&paid_in(country, id, minute * 60, 1_000), &mut seen)
            })
            .map(|alert| alert.evidence)
            .collect()
    }

    #[test]
    fn nobody_is_on_two_continents_within_minutes() {
        assert_eq!(raised(&[(DE, 0), (AU, 5)]), [[0, 1]]);
        assert_eq!(raised(&[(DE, 0), (AU, 5), (DE, 10)]), [[0, 1], [1, 2]]);
    }

    #[test]
    fn a_flight_and_a_border_are_possible() {
        let none: Vec<Vec<u64>> = vec![];
        assert_eq!(raised(&[(DE, 0), (AU, 16 * 60)]), none);
        assert_eq!(raised(&[(NL, 0), (BE, 5)]), none);
    }

    #[test]
    fn a_payment_that_comes_late_is_compared_and_not_remembered() {
        assert_eq!(raised(&[(DE, 10), (AU, 5), (DE, 11)]), [[0, 1]]);
    }
}
