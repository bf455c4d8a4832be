//! Judges of a history: what clients sent, what they were told, and what was read. They know nothing of servers,
//! so that they can be held to histories that were broken on purpose, as the tests below do.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::client::Record;

/// A record that was sent. Its data are like no other's, so that one that was torn is nobody's.
#[derive(Debug, Clone)]
pub struct Sent {
    pub key: String,
    pub data: String,
    /// The shard and the sequence number that its sender was told; none if it was not acknowledged.
    pub told: Option<(String, String)>,
}

/// The parents of each shard that has some.
pub type Parents = BTreeMap<String, Vec<String>>;

/// Whether `read`, all records that are stored with their shards, in order for each shard, is what must be after any
/// crash: each record that was acknowledged is where its sender was told, once; one that was not may be there or not;
/// each key's records have the order in which they were `sent`.
pub fn stored(sent: &[Sent], read: &[(String, Record)]) -> Result<(), String> {
    let places = places(sent);
    let mut last_of_shard: HashMap<&str, Number<'_>> = HashMap::new();
    for (shard, record) in read {
        let number = Number::of(record);
        let last = last_of_shard.insert(shard, number);
        if last.is_some_and(|last| last >= number) {
            return Err(format!("{shard} has {record:?} behind {}", last.map_or("", |last| last.1)));
        }
    }
    // Sequence numbers grow from a shard to its children.
    let mut in_order: Vec<&(String, Record)> = read.iter().collect();
    in_order.sort_by_key(|(_, record)| Number::of(record));
    in_order_of_keys(&places, in_order.into_iter())?;
    complete(sent, read)
}

/// Whether `read`, all records that a consumer was given with their shards, in the order in which it was given them,
/// is what must be: all of `sent`, which was acknowledged, once and in the order of each key; and nothing of a shard
/// behind what its children have.
pub fn consumed(sent: &[Sent], read: &[(String, Record)], parents: &Parents) -> Result<(), String> {
    let places = places(sent);
    in_order_of_keys(&places, read.iter())?;
    let mut over = HashSet::new();
    for (shard, record) in read {
        if over.contains(shard.as_str()) {
            return Err(format!("{shard} has {record:?} behind a record of a child of it"));
        }
        let mut above = vec![shard];
        while let Some(next) = above.pop() {
            above.extend(parents.get(next).into_iter().flatten().filter(|it| over.insert(it.as_str())));
        }
    }
    complete(sent, read)
}

/// A sequence number, by its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a>(usize, &'a str);

impl<'a> Number<'a> {
    fn of(record: &'a Record) -> Self {
        Self(record.sequence.len(), &record.sequence)
    }
}

/// Where in the order of sending each record is, by its data.
type Places<'a> = HashMap<&'a str, (usize, &'a Sent)>;

fn places(sent: &[Sent]) -> Places<'_> {
    sent.iter().enumerate().map(|(place, sent)| (sent.data.as_str(), (place, sent))).collect()
}

/// Each record was sent, is there once, and is behind those of its key that were sent before it.
fn in_order_of_keys<'a>(
    places: &Places<'_>,
    read: impl Iterator<Item = &'a (String, Record)>,
) -> Result<(), String> {
    let (mut sequences, mut last): (HashSet<&str>, HashMap<&str, usize>) = Default::default();
    for (shard, record) in read {
        let Some((place, sent)) = places.get(record.data.as_str()) else {
            return Err(format!("{shard} has {record:?}, which nobody sent"));
        };
        if sent.key != record.key {
            return Err(format!("{shard} has {record:?}, which was sent with the key {}", sent.key));
        }
        if !sequences.insert(&record.sequence) {
            return Err(format!("{shard} has {record:?} with a number that another has too"));
        }
        match last.insert(&record.key, *place) {
            Some(before) if before == *place => return Err(format!("{shard} has {record:?} twice")),
            Some(before) if before > *place => {
                return Err(format!("{shard} has {record:?} twice, or behind one that was sent after it"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was acknowledged is where its sender was told.
fn complete(sent: &[Sent], read: &[(String, Record)]) -> Result<(), String> {
    let there: HashMap<&str, (&str, &str)> =
        read.iter().map(|(shard, it)| (it.data.as_str(), (shard.as_str(), it.sequence.as_str()))).collect();
    for sent in sent {
        let Some((shard, sequence)) = &sent.told else { continue };
        match there.get(sent.data.as_str()) {
            Some(place) if *place == (shard.as_str(), sequence.as_str()) => {}
            Some(place) => return Err(format!("{sent:?} is at {place:?}")),
            None => return Err(format!("{sent:?} is lost")),
        }
    }
    Ok(())
}

/// Histories that were broken on purpose.
mod tests {
    use super::*;

    const RECORDS: usize = 10_000;
    const KEYS: usize = 64;

    type History = (Vec<Sent>, Vec<(String, Record)>, Parents);

    fn shard(id: usize) -> String {
        format!("shardId-{id:012}")
    }

    /// Of ten thousand records of 64 keys, the first half in shard 0, the second in its children 1 and 2; as it was
    /// sent, and as a consumer reads it.
    fn history() -> History {
        let mut sent = Vec::new();
        let mut read = Vec::new();
        for number in 0..RECORDS {
            let (key, data) = (format!("writer-{}", number % KEYS), format!("{number}."));
            let shard = if number < RECORDS / 2 { shard(0) } else { shard(1 + number % KEYS % 2) };
            let sequence = format!("495{number:053}");
            let record = Record { sequence: sequence.clone(), key: key.clone(), data: data.clone() };
            read.push((shard.clone(), record));
            sent.push(Sent { key, data, told: Some((shard, sequence)) });
        }
        let parents = Parents::from([(shard(1), vec![shard(0)]), (shard(2), vec![shard(0)])]);
        (sent, read, parents)
    }

    /// Both judges must say why they refuse what `damage` has made of the history.
    fn refused(why: &str, damage: impl Fn(&mut History)) {
        let mut broken = history();
        damage(&mut broken);
        let (sent, read, parents) = &broken;
        for (judge, told) in [("stored", stored(sent, read)), ("consumed", consumed(sent, read, parents))] {
            let told = told.expect_err(judge);
            assert!(told.contains(why), "{judge} says: {told}");
        }
    }

    #[test]
    fn what_is_right_is_accepted() {
        let (mut sent, mut read, parents) = history();
        assert_eq!(stored(&sent, &read), Ok(()));
        assert_eq!(consumed(&sent, &read, &parents), Ok(()));
        // What was not acknowledged may be there or not.
        for at in [0, 77, RECORDS - 1] {
            sent[at].told = None;
        }
        assert_eq!(stored(&sent, &read), Ok(()));
        read.remove(77);
        assert_eq!(stored(&sent, &read), Ok(()));
    }

    #[test]
    fn one_lost_of_ten_thousand_is_missed() {
        for at in [0, 4_999, 5_000, RECORDS - 1] {
            refused("is lost", |(_, read, _)| drop(read.remove(at)));
        }
        // As after a crash of who acknowledges before it syncs: the last of what was told is not there.
        refused("is lost", |(_, read, _)| read.truncate(RECORDS - 3));
    }

    #[test]
    fn two_that_changed_places_are_seen() {
        // Two neighbours of a key, each with the other's data; and each with its own number, too.
        for at in [0, 2_500, 6_000] {
            let behind = at + KEYS;
            refused("behind one that was sent after it", |(_, read, _)| {
                let data = read[at].1.data.clone();
                read[at].1.data = std::mem::replace(&mut read[behind].1.data, data);
            });
            let (sent, mut read, parents) = history();
            read.swap(at, behind);
            assert!(stored(&sent, &read).unwrap_err().contains("behind"));
            assert!(consumed(&sent, &read, &parents).unwrap_err().contains("behind one that was sent after"));
        }
        // Of two keys: no key's order is broken, but they are not where their senders were told.
        refused("is at", |(_, read, _)| {
            let sequence = read[0].1.sequence.clone();
            read[0].1.sequence = std::mem::replace(&mut read[1].1.sequence, sequence);
            read.swap(0, 1);
        });
    }

    #[test]
    fn one_that_is_there_twice_is_seen() {
        for at in [0, 4_000, RECORDS - 1] {
            // Written twice, with a number of its own.
            refused("twice", |(_, read, _)| {
                let (shard, mut again) = read[at].clone();
                again.sequence = format!("496{RECORDS:053}");
                read.push((shard, again));
            });
            // Given twice.
            let (sent, mut read, parents) = history();
            read.insert(at, read[at].clone());
            assert!(stored(&sent, &read).is_err());
            assert!(consumed(&sent, &read, &parents).unwrap_err().contains("a number that another has too"));
        }
    }

    #[test]
    fn one_that_was_torn_or_has_another_key_is_seen() {
        refused("which nobody sent", |(_, read, _)| read[9_000].1.data.truncate(3));
        refused("which was sent with the key", |(_, read, _)| read[9_000].1.key = "writer-0".to_owned());
    }

    #[test]
    fn a_child_that_was_read_before_its_parents_end_is_seen() {
        // Of keys that have no other record behind it, so that no key's order is broken.
        let (mut sent, mut read, parents) = history();
        let last = RECORDS / 2 - 1;
        let key = read[last].1.key.clone();
        let is_of_others = |number: usize, of: &str| number <= last || of != key;
        let kept: Vec<bool> =
            sent.iter().enumerate().map(|(number, sent)| is_of_others(number, &sent.key)).collect();
        let mut keep = kept.iter();
        sent.retain(|_| *keep.next().unwrap());
        let mut keep = kept.iter();
        read.retain(|_| *keep.next().unwrap());
        assert_eq!(consumed(&sent, &read, &parents), Ok(()));
        read.swap(last, last + 1);
        let told = consumed(&sent, &read, &parents).unwrap_err();
        assert!(told.contains("behind a record of a child"), "{told}");
        // Grandparents, too.
        let parents = Parents::from([
            (shard(1), vec![shard(7)]),
            (shard(2), vec![shard(7)]),
            (shard(7), vec![shard(0)]),
        ]);
        assert!(consumed(&sent, &read, &parents).is_err());
    }
}
