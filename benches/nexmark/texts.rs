//! Random texts, and those that all events share: made once for the process.

use std::sync::LazyLock;

use super::model::{Shared, Text};
use super::random::Random;

/// What `extra` fields are cut from: as much as stays in a second-level cache, and so long that two cuts that are
/// stored together hardly ever overlap.
const EXTRA_SOURCE_BYTES: usize = 1 << 17;
/// Channels besides the four well-known ones.
const CHANNELS: u64 = 10_000;
/// The shortest random text.
const SHORTEST: u64 = 3;
/// Letters that texts are made of.
const LETTERS: u64 = 26;
/// Seeds far beyond any event's index.
const SEED: u64 = 1 << 60;

/// A channel, and the URL that its bids come from.
type Channel = (&'static str, &'static str);

static EXTRA: LazyLock<&'static str> = LazyLock::new(|| {
    let mut random = Random::of(SEED);
    leaked((0..EXTRA_SOURCE_BYTES).map(|_| letter(&mut random)).collect())
});

static HOT_CHANNELS: LazyLock<[Channel; 4]> = LazyLock::new(|| {
    let mut random = Random::of(SEED + 1);
    ["Google", "Facebook", "Baidu", "Apple"].map(|name| (name, leaked(base_url(&mut random))))
});

static OTHER_CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| (0..CHANNELS).map(other_channel).collect());

/// Texts that live as long as the process: there is a fixed number of them.
fn leaked(text: String) -> &'static str {
    text.leak()
}

fn letter(random: &mut Random) -> char {
    char::from(b'a' + random.below(LETTERS) as u8)
}

fn base_url(random: &mut Random) -> String {
    let [a, b, c] = [(); 3].map(|()| text(random, 5, '_'));
    format!("https://www.nexmark.com/{a}/{b}/{c}/item.htm?query=1")
}

/// One channel in ten has no `channel_id` in its URL.
fn other_channel(index: u64) -> Channel {
    let mut random = Random::of(SEED + 2 + index);
    let mut url = base_url(&mut random);
    if random.below(10) > 0 {
        url += &format!("&channel_id={}", (index as u32).reverse_bits().cast_signed().unsigned_abs());
    }
    (leaked(format!("channel-{index}")), leaked(url))
}

/// A channel and its URL: half the time one of four.
#[inline]
pub fn channel(random: &mut Random) -> (Text, Text) {
    let channels = if random.below(2) > 0 { HOT_CHANNELS.as_slice() } else { OTHER_CHANNELS.as_slice() };
    let (name, url) = *random.one_of(channels);
    (Text::Borrowed(name), Text::Borrowed(url))
}

/// A text of 3 to `limit - 1` letters, one in 13 of them `special`.
pub fn text(random: &mut Random, limit: u64, special: char) -> String {
    let length = SHORTEST + random.below(limit - SHORTEST);
    let mut text = String::with_capacity(length as usize);
    for _ in 0..length {
        let drawn = random.below(13 * LETTERS);
        text.push(if drawn.is_multiple_of(13) { special } else { char::from(b'a' + (drawn / 13) as u8) });
    }
    text.trim().to_owned()
}

/// A text that makes an event of `bytes` bytes `average_bytes` long, give or take a fifth of it.
#[inline]
pub fn extra(random: &mut Random, bytes: u64, average_bytes: u64) -> Shared {
    let Some(missing) = average_bytes.checked_sub(bytes) else { return Shared::default() };
    let delta = (missing + 2) / 5;
    let length = (missing - delta + random.below(2 * delta)) as usize;
    let start = random.below((EXTRA_SOURCE_BYTES - length) as u64) as usize;
    EXTRA[start..start + length].into()
}
