//! Tokens that a client holds for the service: shard iterators and tokens of pages. They are encrypted and
//! authenticated, so what comes back is what was given out, or is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a token may be used: five minutes, as in Kinesis.
pub const LIFETIME_MS: u64 = 300_000;
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// What AWS's iterators begin with too.
const PREFIX: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

/// What a token is for: one kind is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `ShardIterator`.
    Iterator,
    /// `NextToken` of `ListShards`.
    Shards,
    /// `NextToken` of `ListStreams`.
    Streams,
    /// `NextToken` of `ListStreamConsumers`.
    Consumers,
}

/// Seals and opens tokens.
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// A key of random bytes.
///
/// # Errors
/// If the operating system has none.
pub fn random_key() -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| std::io::Error::other("there is no randomness"))?;
    Ok(key)
}

impl Sealer {
    /// A sealer whose tokens every sealer of the same key opens.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length");
        Self { key: LessSafeKey::new(key), random: SystemRandom::new() }
    }

    /// Makes a token of `content`. `None` if the operating system has no randomness.
    pub fn seal<T: Serialize>(&self, purpose: Purpose, content: &T) -> Option<String> {
        let mut body = serde_json::to_vec(content).ok()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let aad = Aad::from([purpose as u8]);
        let tag = self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body);
        let mut token = PREFIX.to_vec();
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&body);
        token.extend_from_slice(tag.ok()?.as_ref());
        Some(STANDARD.encode(token))
    }

    /// What a token was made of; `None` if it was not made here for this purpose.
    #[must_use]
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, token: &str) -> Option<T> {
        let token = STANDARD.decode(token).ok()?;
        let (nonce, body) = token.strip_prefix(&PREFIX)?.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let aad = Aad::from([purpose as u8]);
        let content = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut body).ok()?;
        serde_json::from_slice(content).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_purpose_and_key_alone() {
        let sealer = Sealer::new(&[7; KEY_BYTES]);
        let token = sealer.seal(Purpose::Iterator, &("payments", 3_u32)).unwrap();
        assert_eq!(sealer.open(Purpose::Iterator, &token), Some(("payments".to_owned(), 3_u32)));
        assert_eq!(sealer.open::<(String, u32)>(Purpose::Shards, &token), None);
        assert_eq!(Sealer::new(&[8; KEY_BYTES]).open::<(String, u32)>(Purpose::Iterator, &token), None);
    }

    proptest! {
        #[test]
        fn any_change_is_seen(at in 0_usize..1000, bit in 0_u8..8) {
            let sealer = Sealer::new(&[7; KEY_BYTES]);
            let mut token = STANDARD.decode(sealer.seal(Purpose::Iterator, &"payments").unwrap()).unwrap();
            let at = at % token.len();
            token[at] ^= 1 << bit;
            prop_assert_eq!(sealer.open::<String>(Purpose::Iterator, &STANDARD.encode(token)), None);
        }

        #[test]
        fn any_text_is_refused_or_opened(text: String) {
            prop_assert_eq!(Sealer::new(&[7; KEY_BYTES]).open::<String>(Purpose::Iterator, &text), None);
        }
    }
}
