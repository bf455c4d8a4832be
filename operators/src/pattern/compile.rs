//! From a pattern to its program: how the nodes of each part are connected.
//!
//! A part of a pattern is a *fragment*: the nodes at which it can begin (heads), those at which it can end
//! (exits), and whether it can be passed through without an event. Fragments are joined by edges from
//! exits to heads; what must not come between, and the greedy parts that were left or passed by,
//! are collected on the way as a [`Label`].

use std::collections::HashMap;
use std::panic::Location;
use std::time::Duration;

use super::builder::{AfterMatch, Between, Body, Condition, Element, Mistake, Pattern, Relation};
use super::check::check;
use super::matches::StageName;
use super::program::{Edge, MOST_EDGES, Node, Over, Program, Skip, Test, To};

/// How many nodes a program may have: repetitions are written out, and each partial match names one.
const MOST_NODES: usize = 1_000;

/// What lies between two nodes.
#[derive(Clone, Debug, Default)]
struct Label {
    forbidden: Vec<Test>,
    forbidden_next: Vec<Test>,
    /// Greedy parts that were left or passed by.
    passed: Vec<u16>,
}

impl Label {
    fn and(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.forbidden.extend(&other.forbidden);
        sum.forbidden_next.extend(&other.forbidden_next);
        sum.passed.extend(&other.passed);
        sum
    }
}

#[derive(Clone)]
struct Head {
    node: u16,
    label: Label,
    /// `None` for the very first: it is reached as its part is.
    over: Option<Over>,
}

#[derive(Clone)]
struct Exit {
    node: u16,
    label: Label,
}

struct Fragment {
    heads: Vec<Head>,
    exits: Vec<Exit>,
    /// What is passed on the way through, if it need not be there.
    through: Option<Label>,
}

/// What is known of a node besides its edges out.
#[derive(Clone)]
struct Place {
    stage: u16,
    fits: Test,
    gap_ms: Option<i64>,
    /// What ends the repetitions of the stage itself.
    until: Option<Test>,
    /// What ends those of the groups around it.
    outer_untils: Vec<Test>,
    greedy: Option<u16>,
}

/// An edge in the making: its source, and the greedy parts that it passes.
struct Drawn {
    from: u16,
    edge: Edge,
    passed: Vec<u16>,
}

/// How two fragments are joined.
struct Join<'a> {
    over: Over,
    is_inner: bool,
    /// Ends the repetitions that are joined.
    until: Option<Test>,
    /// What must not come after them, and holds from the first repetition on.
    forbidden: &'a [Test],
    forbidden_next: &'a [Test],
}

struct Compiler<T> {
    names: Vec<StageName>,
    first_named: HashMap<String, &'static Location<'static>>,
    conditions: Vec<Condition<T>>,
    places: Vec<Place>,
    drawn: Vec<Drawn>,
    untils: Vec<Test>,
    greedy_parts: u16,
    mistakes: Vec<Mistake>,
}

/// Compiles `pattern`.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn compile<T: 'static>(
    mut pattern: Pattern<T>,
    at: &'static Location<'static>,
) -> Result<Program<T>, Vec<Mistake>> {
    let mistakes = std::mem::take(&mut pattern.mistakes);
    let mut compiler = Compiler {
        names: Vec::new(),
        first_named: HashMap::new(),
        conditions: Vec::new(),
        places: Vec::new(),
        drawn: Vec::new(),
        untils: Vec::new(),
        greedy_parts: 0,
        mistakes,
    };
    if copies(&pattern.elements) > MOST_NODES as u64 {
        let problem =
            format!("with its repetitions written out the pattern has more than {MOST_NODES} places");
        compiler.mistakes.push((problem, at));
        return Err(compiler.mistakes);
    }
    check(&pattern, &mut compiler.mistakes);
    let tests = compiler.tests(&pattern.elements);
    let whole = compiler.sequence(&pattern.elements, &tests);
    let trailing = trailing_nots(&pattern.elements, &tests);
    let skip = compiler.skip(pattern.after_match.as_ref());
    let program = compiler.finish(&pattern, &whole, &trailing, skip, at);
    if compiler.mistakes.is_empty() { Ok(program) } else { Err(compiler.mistakes) }
}

/// How many nodes the elements need.
fn copies<T>(elements: &[Element<T>]) -> u64 {
    let of = |element: &Element<T>| {
        let one = match &element.body {
            Body::Stage { .. } if element.relation.is_not() => 0,
            Body::Stage { .. } => 1,
            Body::Group(inner) => copies(inner),
        };
        one.saturating_mul(u64::from(element.max.unwrap_or(element.min)))
    };
    elements.iter().map(of).fold(0, u64::saturating_add)
}

/// The indices of an element's conditions.
struct Tests {
    stage: u16,
    fits: Test,
    until: Option<Test>,
    inner: Vec<Tests>,
}

/// What must not come at the very end.
#[derive(Default)]
struct Trailing {
    forbidden: Vec<Test>,
    forbidden_next: Vec<Test>,
    gap_ms: Option<i64>,
}

fn trailing_nots<T>(elements: &[Element<T>], tests: &[Tests]) -> Trailing {
    let mut trailing = Trailing::default();
    let nots = elements.iter().zip(tests).rev().take_while(|(element, _)| element.relation.is_not());
    for (element, tests) in nots {
        match element.relation {
            Relation::NotNext => trailing.forbidden_next.push(tests.fits),
            _ => trailing.forbidden.push(tests.fits),
        }
        let gap = millis(element.gap);
        trailing.gap_ms = [trailing.gap_ms, gap].into_iter().flatten().min();
    }
    trailing
}

fn millis(duration: Option<Duration>) -> Option<i64> {
    duration.map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

impl<T: 'static> Compiler<T> {
    /// Gives each stage and condition its index.
    fn tests(&mut self, elements: &[Element<T>]) -> Vec<Tests> {
        let mut all = Vec::new();
        for element in elements {
            let until = element.until.as_ref().map(|until| self.test(until));
            all.push(match &element.body {
                Body::Stage { name, condition } => {
                    self.name(name, element.at);
                    let stage = (self.names.len() - 1) as u16;
                    Tests { stage, fits: self.test(condition), until, inner: Vec::new() }
                }
                Body::Group(inner) => Tests { stage: 0, fits: 0, until, inner: self.tests(inner) },
            });
        }
        all
    }

    fn test(&mut self, condition: &Condition<T>) -> Test {
        self.conditions.push(condition.clone());
        (self.conditions.len() - 1) as Test
    }

    fn name(&mut self, name: &str, at: &'static Location<'static>) {
        if let Some(first) = self.first_named.insert(name.to_owned(), at) {
            self.mistakes.push((format!("two stages are named `{name}`, the first at {first}"), at));
        }
        self.names.push(StageName::new(name));
    }

    fn sequence(&mut self, elements: &[Element<T>], tests: &[Tests]) -> Fragment {
        let mut heads: Vec<Head> = Vec::new();
        let mut exits: Vec<Exit> = Vec::new();
        let mut through = Some(Label::default());
        for (index, (element, test)) in elements.iter().zip(tests).enumerate() {
            if element.relation.is_not() {
                let not = not_label(element, test);
                if through.is_some() {
                    let problem = format!(
                        "nothing is sure to come before {}, which must not follow it",
                        element.called()
                    );
                    self.mistakes.push((problem, element.at));
                }
                exits.iter_mut().for_each(|exit| exit.label = exit.label.and(&not));
                continue;
            }
            let following: Vec<_> = elements[index + 1..].iter().zip(&tests[index + 1..]).collect();
            let part = self.element(element, test, &following);
            let over = over_of(element.relation);
            self.join(
                &exits,
                &part.heads,
                &Join { over, is_inner: false, until: None, forbidden: &[], forbidden_next: &[] },
            );
            if let Some(before) = &through {
                heads.extend(part.heads.iter().map(|head| Head {
                    node: head.node,
                    label: before.and(&head.label),
                    over: if index == 0 { head.over } else { head.over.or(Some(over)) },
                }));
            }
            match &part.through {
                Some(by) => {
                    exits.iter_mut().for_each(|exit| exit.label = exit.label.and(by));
                    exits.extend(part.exits);
                    through = through.map(|before| before.and(by));
                }
                None => {
                    exits = part.exits;
                    through = None;
                }
            }
        }
        Fragment { heads, exits, through }
    }

    /// An element with its repetitions; `following` are those after it in its sequence.
    fn element(
        &mut self,
        element: &Element<T>,
        tests: &Tests,
        following: &[(&Element<T>, &Tests)],
    ) -> Fragment {
        let greedy = (element.greedy && element.max != Some(element.min)).then(|| {
            self.greedy_parts += 1;
            self.greedy_parts
        });
        let mut nots = Label::default();
        for (element, tests) in following.iter().take_while(|(element, _)| element.relation.is_not()) {
            nots = nots.and(&not_label(element, tests));
        }
        let over = match element.between {
            Between::Relaxed => Over::Unfit,
            Between::Consecutive => Over::None,
            Between::Combinations => Over::Any,
        };
        let first = self.one(element, tests, greedy);
        let heads = first.heads.clone();
        let (mut last_heads, mut last_exits) = (first.heads, first.exits);
        let mut exits = if element.min <= 1 { last_exits.clone() } else { Vec::new() };
        for count in 2..=element.max.unwrap_or(element.min) {
            let copy = self.one(element, tests, greedy);
            let forbidden_next: &[Test] = if count > element.min { &nots.forbidden_next } else { &[] };
            let join =
                Join { over, is_inner: true, until: tests.until, forbidden: &nots.forbidden, forbidden_next };
            self.join(&last_exits, &copy.heads, &join);
            if count >= element.min {
                exits.extend(copy.exits.iter().cloned());
            }
            (last_heads, last_exits) = (copy.heads, copy.exits);
        }
        if element.max.is_none() {
            let join = Join {
                over,
                is_inner: true,
                until: tests.until,
                forbidden: &nots.forbidden,
                forbidden_next: &nots.forbidden_next,
            };
            self.join(&last_exits, &last_heads, &join);
        }
        let passed = Label { passed: greedy.into_iter().collect(), ..Label::default() };
        exits.iter_mut().for_each(|exit| exit.label = exit.label.and(&passed));
        Fragment { heads, exits, through: element.optional.then_some(passed) }
    }

    /// One repetition of an element.
    fn one(&mut self, element: &Element<T>, tests: &Tests, greedy: Option<u16>) -> Fragment {
        match &element.body {
            Body::Stage { .. } => {
                let node = self.places.len() as u16;
                self.places.push(Place {
                    stage: tests.stage,
                    fits: tests.fits,
                    gap_ms: millis(element.gap),
                    until: tests.until,
                    outer_untils: self.untils.clone(),
                    greedy,
                });
                let label = Label::default();
                let heads = vec![Head { node, label: label.clone(), over: None }];
                Fragment { heads, exits: vec![Exit { node, label }], through: None }
            }
            Body::Group(inner) => {
                self.untils.extend(tests.until);
                let fragment = self.sequence(inner, &tests.inner);
                self.untils.truncate(self.untils.len() - usize::from(tests.until.is_some()));
                fragment
            }
        }
    }

    fn join(&mut self, exits: &[Exit], heads: &[Head], join: &Join<'_>) {
        for exit in exits {
            for head in heads {
                let label = exit.label.and(&head.label);
                let edge = self.edge(head, &label, join);
                self.drawn.push(Drawn { from: exit.node, edge, passed: label.passed });
            }
        }
    }

    fn edge(&self, head: &Head, label: &Label, join: &Join<'_>) -> Edge {
        let place = &self.places[usize::from(head.node)];
        let over_stops: Vec<Test> = place.outer_untils.iter().copied().chain(join.until).collect();
        let take_stops = place.outer_untils.iter().copied().chain(place.until).collect();
        Edge {
            to: To::Node(head.node),
            fits: place.fits,
            over: head.over.unwrap_or(join.over),
            take_stops,
            over_stops,
            forbidden: [&label.forbidden, join.forbidden].concat(),
            forbidden_next: [&label.forbidden_next, join.forbidden_next].concat(),
            is_inner: join.is_inner,
            yields_to: 0,
            gap_ms: place.gap_ms,
        }
    }

    fn skip(&mut self, after: Option<&(AfterMatch, &'static Location<'static>)>) -> Skip {
        let Some((after, at)) = after else { return Skip::None };
        let (AfterMatch::ToFirst(name) | AfterMatch::ToLast(name)) = after else {
            return match after {
                AfterMatch::ToNext => Skip::ToNext,
                AfterMatch::PastLast => Skip::PastLast,
                _ => Skip::None,
            };
        };
        let taken = |index: &usize| self.places.iter().any(|place| usize::from(place.stage) == *index);
        let Some(index) = self.names.iter().position(|stage| stage.as_str() == name).filter(taken) else {
            let problem = format!("it skips to the stage `{name}`, which takes no event: {}", self.stages());
            self.mistakes.push((problem, at));
            return Skip::None;
        };
        match after {
            AfterMatch::ToFirst(_) => Skip::ToFirst(index as u16),
            _ => Skip::ToLast(index as u16),
        }
    }

    fn stages(&self) -> String {
        let names: Vec<_> = self.names.iter().map(|name| format!("`{}`", name.as_str())).collect();
        format!("the pattern has {}", names.join(", "))
    }

    fn finish(
        &mut self,
        pattern: &Pattern<T>,
        whole: &Fragment,
        trailing: &Trailing,
        skip: Skip,
        at: &'static Location<'static>,
    ) -> Program<T> {
        let places = std::mem::take(&mut self.places);
        let mut nodes: Vec<Node> = places
            .iter()
            .map(|place| Node { stage: place.stage, accepts: false, edges: Vec::new() })
            .collect();
        let mut passed: Vec<Vec<Vec<u16>>> = vec![Vec::new(); nodes.len()];
        for Drawn { from, edge, passed: by } in std::mem::take(&mut self.drawn) {
            nodes[usize::from(from)].edges.push(edge);
            passed[usize::from(from)].push(by);
        }
        for exit in &whole.exits {
            let node = &mut nodes[usize::from(exit.node)];
            if trailing.forbidden.is_empty() && trailing.forbidden_next.is_empty() {
                node.accepts = true;
            } else {
                node.edges.push(end_edge(trailing));
                passed[usize::from(exit.node)].push(exit.label.passed.clone());
            }
        }
        for (node, passed) in nodes.iter_mut().zip(&passed) {
            set_yields(&mut node.edges, passed, &places);
            if node.edges.len() > MOST_EDGES {
                let problem =
                    format!("more than {MOST_EDGES} stages can come next: too many of them are optional");
                self.mistakes.push((problem, at));
                node.edges.truncate(MOST_EDGES);
            }
        }
        self.places = places;
        let start = self.start(whole);
        if start.len() > MOST_EDGES {
            let problem =
                format!("it can begin with more than {MOST_EDGES} stages: too many of them are optional");
            self.mistakes.push((problem, at));
        }
        let is_strict = |edge: &Edge| edge.over == Over::None || !edge.forbidden_next.is_empty();
        let has_gaps = edges(&nodes).any(|edge| edge.gap_ms.is_some());
        let heeds_all = edges(&nodes).any(is_strict);
        Program {
            names: self.names.iter().cloned().collect(),
            conditions: std::mem::take(&mut self.conditions),
            has_gaps,
            heeds_all,
            nodes,
            start,
            within_ms: millis(pattern.within.map(|(within, _)| within)),
            skip,
            at_most: pattern.limit(),
            drops_oldest: pattern.drops_oldest,
        }
    }

    fn start(&self, whole: &Fragment) -> Vec<Edge> {
        let join =
            Join { over: Over::None, is_inner: false, until: None, forbidden: &[], forbidden_next: &[] };
        let mut start: Vec<Edge> =
            whole.heads.iter().map(|head| self.edge(head, &Label::default(), &join)).collect();
        let passed: Vec<_> = whole.heads.iter().map(|head| head.label.passed.clone()).collect();
        set_yields(&mut start, &passed, &self.places);
        start
    }
}

fn edges(nodes: &[Node]) -> impl Iterator<Item = &Edge> {
    nodes.iter().flat_map(|node| &node.edges)
}

fn not_label<T>(element: &Element<T>, tests: &Tests) -> Label {
    let mut label = Label::default();
    match element.relation {
        Relation::NotNext => label.forbidden_next.push(tests.fits),
        _ => label.forbidden.push(tests.fits),
    }
    label
}

fn over_of(relation: Relation) -> Over {
    match relation {
        Relation::FollowedBy => Over::Unfit,
        Relation::FollowedByAny => Over::Any,
        _ => Over::None,
    }
}

fn end_edge(trailing: &Trailing) -> Edge {
    Edge {
        to: To::End,
        fits: 0,
        over: Over::Any,
        take_stops: Vec::new(),
        over_stops: Vec::new(),
        forbidden: trailing.forbidden.clone(),
        forbidden_next: trailing.forbidden_next.clone(),
        is_inner: false,
        yields_to: 0,
        gap_ms: trailing.gap_ms,
    }
}

/// An edge leaves what fits to the edges of one node that stay in, or lead into, a greedy part that it has
/// left or passed. An edge that has left the part, and comes back by a repetition of the group around it, does
/// not stay in it.
fn set_yields(edges: &mut [Edge], passed: &[Vec<u16>], places: &[Place]) {
    let greedy_of = |edge: &Edge| match edge.to {
        To::Node(node) => places[usize::from(node)].greedy,
        To::End => None,
    };
    let stays =
        edges.iter().zip(passed).map(|(edge, passed)| greedy_of(edge).filter(|into| !passed.contains(into)));
    let into: Vec<Option<u16>> = stays.collect();
    for (edge, passed) in edges.iter_mut().zip(passed) {
        for (bit, into) in into.iter().enumerate().take(MOST_EDGES) {
            if into.is_some_and(|into| passed.contains(&into)) {
                edge.yields_to |= 1 << bit;
            }
        }
    }
}
