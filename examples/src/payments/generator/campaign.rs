//! Campaigns: fraud planted in the payments, and honest behaviour that looks like it.
//!
//! Slots come every 2 s of event time and alternate between [`LANES`] lanes; [`STEPS`] slots of a
//! lane, 4 s apart, are one campaign. So a campaign lasts about a minute, and which payment a
//! line holds follows from its index alone.

use std::ops::Range;

use super::super::country::Country;
use super::super::payment::{CardId, Cents, MerchantId, Rule};
use super::random::{Draw, Purpose};
use super::{Label, SLOT_EVERY, Scenario};

const LANES: u64 = 2;
const STEPS: u64 = 16;

/// A place for a payment of a campaign.
pub struct Slot {
    /// The number of the campaign.
    pub campaign: u64,
    /// The step in it: less than [`STEPS`].
    pub step: u64,
}

impl Slot {
    /// The slot at line `index`, if there is one.
    pub fn at(index: u64) -> Option<Self> {
        if !index.is_multiple_of(SLOT_EVERY) {
            return None;
        }
        let (lane, round) = (index / SLOT_EVERY % LANES, index / SLOT_EVERY / LANES);
        Some(Self { campaign: round / STEPS * LANES + lane, step: round % STEPS })
    }

    fn line(&self) -> u64 {
        let (lane, first) = (self.campaign % LANES, self.campaign / LANES * STEPS);
        ((first + self.step) * LANES + lane) * SLOT_EVERY
    }
}

/// A payment of a campaign, but for its id and time.
pub struct Step {
    pub card: CardId,
    pub merchant: MerchantId,
    pub amount: Cents,
    pub country: Country,
}

/// What happens in a campaign; the last four are honest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ProbeThenHit,
    ImpossibleTravel,
    VelocityBurst,
    Overspend,
    CoffeeThenTelevision,
    MarketStroll,
    YearlyPurchase,
    Nothing,
}

impl Kind {
    /// In 100 campaigns.
    const MIX: [(Self, u64); 8] = [
        (Self::ProbeThenHit, 15),
        (Self::ImpossibleTravel, 15),
        (Self::VelocityBurst, 15),
        (Self::Overspend, 15),
        (Self::CoffeeThenTelevision, 2),
        (Self::MarketStroll, 3),
        (Self::YearlyPurchase, 3),
        (Self::Nothing, 32),
    ];

    fn draw(draw: &mut Draw) -> Self {
        let mut left = draw.below(100);
        for (kind, share) in Self::MIX {
            if left < share {
                return kind;
            }
            left -= share;
        }
        Self::Nothing
    }

    fn rule(self) -> Option<Rule> {
        match self {
            Self::ProbeThenHit => Some(Rule::ProbeThenHit),
            Self::ImpossibleTravel => Some(Rule::ImpossibleTravel),
            Self::VelocityBurst => Some(Rule::VelocityBurst),
            Self::Overspend => Some(Rule::Overspend),
            Self::CoffeeThenTelevision | Self::MarketStroll | Self::YearlyPurchase | Self::Nothing => None,
        }
    }
}

/// One campaign: what one card does in about a minute.
pub struct Campaign<'a> {
    scenario: &'a Scenario,
    number: u64,
    kind: Kind,
    card: CardId,
    home: Country,
    /// The steps that are payments: the first, and those up to the last that are taken.
    steps: Vec<u64>,
    abroad: Country,
    small: Cents,
    large: Cents,
    merchant: MerchantId,
}

impl<'a> Campaign<'a> {
    /// Campaign `number`.
    pub fn of(scenario: &'a Scenario, number: u64) -> Self {
        let mut draw = Draw::new(scenario.seed, Purpose::Campaign, number);
        let kind = Kind::draw(&mut draw);
        let card = CardId(draw.below(scenario.cards));
        let home = scenario.home(card);
        let usual = scenario.usual_amount(card);
        let steps = match kind {
            Kind::Nothing => Vec::new(),
            Kind::Overspend | Kind::YearlyPurchase => vec![0],
            Kind::ProbeThenHit | Kind::ImpossibleTravel | Kind::CoffeeThenTelevision => {
                vec![0, 1 + draw.below(STEPS - 1)]
            }
            // Some bursts are too short to be told from shopping, some strolls are long ones.
            Kind::VelocityBurst => (0..6 + draw.below(STEPS - 5)).collect(),
            Kind::MarketStroll => (0..5 + draw.below(5)).collect(),
        };
        let factor_per_mille = match kind {
            Kind::Overspend => 3_500 + draw.below(16_500),
            Kind::YearlyPurchase => 2_500 + draw.below(7_500),
            _ => 700 + draw.below(600),
        };
        let large = match kind {
            Kind::ProbeThenHit => Cents(20_000 + draw.below(130_000) as i64),
            Kind::CoffeeThenTelevision => Cents(30_000 + draw.below(90_000) as i64),
            _ => Cents(usual.0 * factor_per_mille as i64 / 1_000),
        };
        Self {
            scenario,
            number,
            kind,
            card,
            home,
            steps,
            abroad: draw.country(),
            small: Cents(1 + draw.below(220) as i64),
            large,
            merchant: draw.merchant(),
        }
    }

    /// The campaigns that have a slot in `lines`.
    pub fn touching(scenario: &'a Scenario, lines: Range<u64>) -> impl Iterator<Item = Self> {
        // Campaigns of all lanes that begin together span this many lines.
        let span = SLOT_EVERY * LANES * STEPS;
        let numbers = if lines.is_empty() { 0..0 } else { lines.start / span..(lines.end - 1) / span + 1 };
        numbers
            .flat_map(|round| (0..LANES).map(move |lane| round * LANES + lane))
            .map(|number| Self::of(scenario, number))
    }

    /// The payment at `step`; `None` if the line is an honest one of another card.
    pub fn step(&self, step: u64) -> Option<Step> {
        let at = self.steps.iter().position(|&taken| taken == step)?;
        let mut draw = Draw::new(self.scenario.seed ^ self.number, Purpose::Campaign, !step);
        let (amount, country) = match self.kind {
            Kind::ProbeThenHit | Kind::CoffeeThenTelevision if at == 0 => (self.small, self.home),
            Kind::ImpossibleTravel if at > 0 => (self.large, self.abroad),
            Kind::VelocityBurst | Kind::MarketStroll => (draw.amount(Cents(self.large.0 / 2)), self.home),
            _ => (self.large, self.home),
        };
        let merchant = if self.kind == Kind::MarketStroll { draw.merchant() } else { self.merchant };
        Some(Step { card: self.card, merchant, amount, country })
    }

    /// The label, if this is fraud and all of it lies in the scenario.
    pub fn label(&self) -> Option<Label> {
        let rule = self.kind.rule()?;
        let at_home = self.kind == Kind::ImpossibleTravel && self.abroad == self.home;
        let payments: Vec<u64> =
            self.steps.iter().map(|&step| Slot { campaign: self.number, step }.line()).collect();
        let complete = payments.last().is_some_and(|&last| last < self.scenario.lines);
        (complete && !at_home).then_some(Label { rule, card: self.card, payments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_lines_are_inverse() {
        for line in (0..SLOT_EVERY * 1_000).step_by(SLOT_EVERY as usize) {
            let slot = Slot::at(line).unwrap();
            assert!(slot.step < STEPS);
            assert_eq!(slot.line(), line);
        }
        assert!(Slot::at(SLOT_EVERY + 1).is_none());
    }

    #[test]
    fn the_mix_adds_up() {
        assert_eq!(Kind::MIX.iter().map(|(_, share)| share).sum::<u64>(), 100);
    }
}
