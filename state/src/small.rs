//! Short byte strings that live in place: encoded keys in ordered maps.

use std::cmp::Ordering;

/// With the length and the tag it fills three words.
const INLINE: usize = 22;

/// Bytes, in place up to 22 of them; ordered as slices are.
#[derive(Clone)]
pub(crate) enum SmallBytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl SmallBytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for SmallBytes {
    fn from(slice: &[u8]) -> Self {
        if slice.len() <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..slice.len()].copy_from_slice(slice);
            Self::Inline { len: slice.len() as u8, bytes }
        } else {
            Self::Heap(slice.into())
        }
    }
}

impl PartialEq for SmallBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SmallBytes {}

impl PartialOrd for SmallBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl std::borrow::Borrow<[u8]> for SmallBytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl std::fmt::Debug for SmallBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_strings_order_alike() {
        let long = SmallBytes::from([7; 40].as_slice());
        let short = SmallBytes::from([7; 22].as_slice());
        assert!(matches!((&long, &short), (SmallBytes::Heap(_), SmallBytes::Inline { .. })));
        assert!(short < long && SmallBytes::from([8].as_slice()) > long);
        assert_eq!(long.as_slice(), &[7; 40]);
        assert_eq!(size_of::<SmallBytes>(), 24);
    }
}
