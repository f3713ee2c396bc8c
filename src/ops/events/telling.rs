//! The events of one domain, in their order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Cause, Detail, Event, EventKind, Listeners};
use crate::limits;
use crate::ops::at_end;
use crate::tree::{Plan, Tree};

/// The events of one domain.
pub(in crate::ops) struct Telling {
    uuid: [u8; 16],
    listeners: Arc<Listeners>,
    waiting: Mutex<Waiting>,
    /// Told when the front of the queue is another one, or the turn is free.
    turn: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// What those who are told know of the hierarchy; `None` while nobody is.
    known: Option<Known>,
    /// For whom that is: [`Listeners::beginnings`].
    beginning: usize,
    /// This process is changing the domain: what is loaded now may be before or after that.
    is_changing: bool,
    /// In the order of the changes, each with the thread that delivers it; `None`: whoever comes.
    queue: VecDeque<(Option<ThreadId>, Event)>,
    is_delivering: bool,
}

/// A part of an event that depends on the change alone.
type Happened = (EventKind, Detail, Option<Arc<str>>);

/// A hierarchy as far as events tell of it: names, with creation times, and the current one.
#[derive(Default)]
struct Known {
    created: HashMap<Arc<str>, i64>,
    current: Option<Arc<str>>,
}

impl Known {
    fn of(tree: &Tree) -> Known {
        let all = tree.all();
        Known {
            created: all
                .map(|snapshot| (Arc::clone(&snapshot.name), snapshot.creation_time))
                .collect(),
            current: tree.current().map(|current| Arc::clone(&current.name)),
        }
    }

    fn apply(&mut self, plan: &Plan) {
        for new in &plan.put {
            self.created
                .insert(Arc::clone(&new.name), new.creation_time);
        }
        for old in &plan.drop {
            self.created.remove(&old.name);
        }
        self.current.clone_from(&plan.current);
    }

    /// What a plan, carried out for that cause, is to those who are told.
    fn happened(&self, plan: &Plan, cause: &Cause) -> Vec<Happened> {
        let of_all = match cause {
            Cause::Left => Some(Detail::Left),
            Cause::Arrived => Some(Detail::Arrived),
            _ => None,
        };
        if let Some(detail) = of_all {
            return vec![(EventKind::Migrated, detail, None)];
        }
        let general = match cause {
            Cause::Found => Detail::Found,
            _ => Detail::Plain,
        };
        let mut all: Vec<Happened> = Vec::new();
        for new in &plan.put {
            let is_redefined = matches!(cause, Cause::Redefined(name) if *name == new.name);
            if is_redefined {
                all.push((
                    EventKind::Created,
                    Detail::Redefined,
                    Some(Arc::clone(&new.name)),
                ));
            } else if !self.created.contains_key(&new.name) {
                all.push((EventKind::Created, general, Some(Arc::clone(&new.name))));
            }
        }
        let gone = match cause {
            Cause::Metadata => Detail::Metadata,
            _ => general,
        };
        let dropped = plan.drop.iter();
        all.extend(dropped.map(|old| (EventKind::Deleted, gone, Some(Arc::clone(&old.name)))));
        if let Cause::Reverted(name) = cause {
            all.push((EventKind::Reverted, Detail::Plain, Some(Arc::clone(name))));
        }
        if self.current != plan.current {
            all.push((EventKind::CurrentChanged, general, plan.current.clone()));
        }
        all
    }

    /// What has become of it, as far as that can be seen afterwards.
    fn changes(&self, new: &Known) -> Vec<Happened> {
        let mut gone: Vec<&Arc<str>> = self
            .created
            .iter()
            .filter(|(name, created)| new.created.get(*name) != Some(created))
            .map(|(name, _)| name)
            .collect();
        let mut come: Vec<(&i64, &Arc<str>)> = new
            .created
            .iter()
            .filter(|(name, created)| self.created.get(*name) != Some(created))
            .map(|(name, created)| (created, name))
            .collect();
        gone.sort();
        come.sort();
        let gone = gone.into_iter().map(|name| (EventKind::Deleted, name));
        let come = come.into_iter().map(|(_, name)| (EventKind::Created, name));
        let mut all: Vec<Happened> = gone
            .chain(come)
            .map(|(kind, name)| (kind, Detail::Found, Some(Arc::clone(name))))
            .collect();
        if self.current != new.current {
            all.push((
                EventKind::CurrentChanged,
                Detail::Found,
                new.current.clone(),
            ));
        }
        all
    }
}

impl Telling {
    pub fn new(uuid: [u8; 16], listeners: Arc<Listeners>) -> Telling {
        Telling {
            uuid,
            listeners,
            waiting: Mutex::default(),
            turn: Condvar::new(),
        }
    }

    /// What is kept, without what was known to those who are told no more.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.waiting.lock();
        let beginning = self.listeners.beginnings();
        if waiting.beginning != beginning {
            waiting.beginning = beginning;
            waiting.known = None;
        }
        waiting
    }

    /// Whether changes of a hierarchy are seen.
    pub fn has_begun(&self) -> bool {
        self.waiting().known.is_some()
    }

    /// From now on, changes of this hierarchy are seen.
    pub fn begin(&self, tree: &Tree) {
        let mut waiting = self.waiting();
        if waiting.known.is_none() {
            waiting.known = Some(Known::of(tree));
        }
    }

    /// The domain's writer is about to make a plan durable.
    pub fn prepare(&self) {
        self.waiting.lock().is_changing = true;
    }

    /// It could not, or nobody can tell: the next one to load it finds out.
    pub fn give_up(&self) {
        self.waiting.lock().is_changing = false;
    }

    /// It has; `tree` is what is in memory: the hierarchy before the change, or already with it.
    pub fn done(self: &Arc<Self>, domain: &Arc<str>, tree: &Tree, plan: &Plan, cause: &Cause) {
        let mut waiting = self.waiting();
        waiting.is_changing = false;
        if self.listeners.is_empty() {
            waiting.known = None;
            return;
        }
        let before = waiting.known.get_or_insert_with(|| Known::of(tree));
        let all = before.happened(plan, cause);
        before.apply(plan);
        self.queue(waiting, domain, all);
    }

    /// A hierarchy was loaded. `is_newest` tells whether it is still what is stored.
    pub fn loaded(self: &Arc<Self>, domain: &Arc<str>, tree: &Tree, is_newest: impl Fn() -> bool) {
        if self.listeners.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.is_changing || !is_newest() {
            return;
        }
        let now = Known::of(tree);
        let changes = waiting.known.as_ref().map(|known| known.changes(&now));
        waiting.known = Some(now);
        self.queue(waiting, domain, changes.unwrap_or_default());
    }

    fn queue(
        self: &Arc<Self>,
        mut waiting: MutexGuard<'_, Waiting>,
        domain: &Arc<str>,
        all: Vec<Happened>,
    ) {
        if all.is_empty() {
            return;
        }
        // Where this thread cannot come to deliver them, whoever comes does.
        let me = at_end::deliver_events(self).then(|| thread::current().id());
        let events = all.into_iter().map(|(kind, detail, snapshot)| Event {
            kind,
            detail,
            domain: Arc::clone(domain),
            uuid: self.uuid,
            snapshot,
            progress: (0, 0),
        });
        waiting.queue.extend(events.map(|event| (me, event)));
    }

    /// Tells of progress, unless there is something to be told first.
    pub fn progress(&self, domain: &Arc<str>, done: u64, total: u64) {
        if self.listeners.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.is_delivering || !waiting.queue.is_empty() {
            return;
        }
        waiting.is_delivering = true;
        let event = Event {
            kind: EventKind::Progress,
            detail: Detail::Plain,
            domain: Arc::clone(domain),
            uuid: self.uuid,
            snapshot: None,
            progress: (done, total),
        };
        drop(waiting);
        let turn = Turn(self);
        self.listeners.tell(&event);
        drop(turn);
    }

    /// Delivers this thread's events, each when it is the first of the queue, and those that nobody else
    /// delivers.
    pub fn deliver(&self) {
        let me = Some(thread::current().id());
        let deadline = Instant::now() + limits::EVENT_TURN;
        let mut waiting = self.waiting.lock();
        loop {
            let is_mine = |(thread, _): &(Option<ThreadId>, Event)| *thread == me;
            let front = waiting.queue.front();
            let is_next = front.is_some_and(|front| is_mine(front) || front.0.is_none());
            if is_next && !waiting.is_delivering {
                let Some((_, event)) = waiting.queue.pop_front() else {
                    return;
                };
                waiting.is_delivering = true;
                drop(waiting);
                let turn = Turn(self);
                self.listeners.tell(&event);
                drop(turn);
                waiting = self.waiting.lock();
                continue;
            }
            if !waiting.queue.iter().any(is_mine) {
                return;
            }
            if self.turn.wait_until(&mut waiting, deadline).timed_out() {
                // Another thread is in a function that does not return, perhaps because it waits for
                // this one.
                waiting.leave_to_others(me);
                return;
            }
        }
    }

    /// Has whoever comes deliver this thread's events.
    pub fn leave_to_others(&self) {
        let me = Some(thread::current().id());
        self.waiting.lock().leave_to_others(me);
        self.turn.notify_all();
    }
}

impl Waiting {
    fn leave_to_others(&mut self, thread: Option<ThreadId>) {
        for entry in self.queue.iter_mut().filter(|entry| entry.0 == thread) {
            entry.0 = None;
        }
    }
}

/// The turn to deliver, given on at its end, also by a panic.
struct Turn<'a>(&'a Telling);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().is_delivering = false;
        self.0.turn.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml;

    fn tree(names: &[&str]) -> Tree {
        let snapshots = names.iter().map(|name| {
            let text = format!(
                "<domainsnapshot><name>{name}</name><state>shutoff</state>\
                 <creationTime>1</creationTime></domainsnapshot>"
            );
            let parsed = xml::parse(&text, xml::Mode::Redefine);
            Arc::new(parsed.unwrap().snapshot)
        });
        Tree::load(snapshots, names.last().copied())
    }

    /// Adds that snapshot of the tree, and makes it current.
    fn plan(tree: &Tree, name: &str) -> Plan {
        Plan {
            put: tree.get(name).into_iter().cloned().collect(),
            drop: Vec::new(),
            current: Some(name.into()),
        }
    }

    /// What is told, when the plan that adds "b" is carried out, `loaded` meanwhile.
    fn told(before: &Tree, loaded: &Tree) -> Vec<(EventKind, Option<Arc<str>>)> {
        let after = tree(&["a", "b"]);
        let all = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&all);
        let note = move |event: &Event| noted.lock().push((event.kind, event.snapshot.clone()));
        let listeners = Arc::new(Listeners::default());
        listeners.add(None, None, Box::new(note));
        let telling = Arc::new(Telling::new([0; 16], listeners));
        let domain = Arc::from("guest");
        telling.begin(before);
        telling.prepare();
        telling.loaded(&domain, loaded, || true);
        telling.done(&domain, loaded, &plan(&after, "b"), &Cause::Plain);
        telling.loaded(&domain, &after, || true);
        crate::ops::deliver();
        let all = all.lock();
        all.clone()
    }

    #[test]
    fn what_a_thread_leaves_behind_others_deliver_in_order() {
        let (before, after) = (tree(&["a"]), tree(&["a", "b"]));
        let names = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&names);
        let note = move |event: &Event| noted.lock().extend(event.snapshot.clone());
        let listeners = Arc::new(Listeners::default());
        listeners.add(None, Some(EventKind::Created), Box::new(note));
        let telling = Arc::new(Telling::new([0; 16], listeners));
        let domain: Arc<str> = "guest".into();
        telling.begin(&before);
        thread::scope(|scope| {
            scope.spawn(|| telling.done(&domain, &before, &plan(&after, "b"), &Cause::Plain));
        });
        telling.done(&domain, &after, &plan(&tree(&["c"]), "c"), &Cause::Plain);
        crate::ops::deliver();
        assert_eq!(*names.lock(), ["b".into(), "c".into()]);
    }

    #[test]
    fn who_loads_a_change_before_it_is_done_takes_no_event_away() {
        let before = tree(&["a"]);
        let b = || Some(Arc::from("b"));
        let expected = [(EventKind::Created, b()), (EventKind::CurrentChanged, b())];
        assert_eq!(told(&before, &before), expected);
        assert_eq!(told(&before, &tree(&["a", "b"])), expected);
    }
}
