//! One server: takes all that waits, reads once, writes once, and sends once to each other member.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::link::{Came, Links};
use super::store::{Clock, Dot, HEADER_BYTES, Store, Writes, header};
use super::wire::{self, Frame, Kind};
use super::{Broken, SERVERS, stage};

/// Requests of which an answer may still come. More than are ever under way.
const PENDING_MAX: u32 = 1 << 12;

/// Serves until a link breaks.
///
/// # Errors
/// See [`Broken`]; it always ends so.
pub async fn serve(dir: &Path, me: usize) -> Result<(), Broken> {
    let (links, store) = stage::join_as_server(dir, me).await?;
    let mut server = Server {
        me,
        links,
        pending: (0..PENDING_MAX).map(|_| Pending::default()).collect(),
        next: 0,
        counter: 0,
        clock: Clock::default(),
        writes: Writes::default(),
        written_ms: 0,
    };
    loop {
        let came = server.links.take().await?;
        server.step(&store, &came)?;
        server.links.flush().await?;
    }
}

/// A client's request that the other servers know, too.
#[derive(Default)]
struct Pending {
    /// The number that they know it by.
    id: u32,
    /// Who asked, and by which number; nobody once it is answered.
    client: Option<(usize, u32)>,
    /// What this server answers by itself.
    own: Vec<u8>,
}

/// Everything but the database, from which an inbox's records are borrowed.
struct Server {
    me: usize,
    links: Links,
    /// By number, in turn.
    pending: Vec<Pending>,
    next: u32,
    /// Of the last write that was put here.
    counter: u64,
    clock: Clock,
    /// Of this inbox.
    writes: Writes,
    written_ms: u64,
}

impl Server {
    /// One inbox. Of two writes in it to one key the later one stays, whatever their dots: there is no logic here.
    fn step(&mut self, store: &Store, came: &[Came]) -> Result<(), Broken> {
        let keys = || frames(came).filter(|(_, frame)| is_about_an_object(frame.kind));
        let found = store.read(keys().map(|(_, frame)| frame.key))?;
        let mut found = found.iter();
        self.written_ms = now_ms();
        for (from, frame) in frames(came) {
            let mut old = || {
                let record = found.next().and_then(Option::as_ref);
                record.map_or(&[][..], |record| &record[..])
            };
            let id = frame.id;
            match frame.kind {
                Kind::Put => self.put(store, from, &frame, old()),
                Kind::Get => self.get(from, &frame, old()),
                Kind::Store => self.store(store, from, &frame, old())?,
                Kind::Read => wire::write(self.links.out(from), Kind::Found, id, &[], &[old()]),
                Kind::Stored | Kind::Found => self.answered(id, frame.body),
                Kind::Hello | Kind::Done => return Err(Broken::Foreign),
            }
        }
        Ok(store.commit(&mut self.writes, &self.clock)?)
    }

    /// A client's write: made newer than what is there, written, and sent to the others.
    fn put(&mut self, store: &Store, from: usize, frame: &Frame<'_>, old: &[u8]) {
        self.counter = Dot::of(old).counter.max(self.counter) + 1;
        let dot = Dot {
            server: self.me as u64,
            counter: self.counter,
        };
        let header = header(dot, self.written_ms, frame.id, frame.body.len());
        let record = [&header[..], frame.body];
        store.add_object(&mut self.writes, frame.key, &record);
        store.add_entry(&mut self.writes, &mut self.clock, frame.key, &header);
        let id = self.open((from, frame.id), &dot.bytes());
        self.tell_peers(Kind::Store, id, frame.key, &record);
    }

    /// A copy of a write.
    fn store(
        &mut self,
        store: &Store,
        from: usize,
        frame: &Frame<'_>,
        old: &[u8],
    ) -> Result<(), Broken> {
        let header = frame.body.first_chunk::<HEADER_BYTES>();
        let header = header.ok_or(Broken::Foreign)?;
        if Dot::of(old) < Dot::of(header) {
            store.add_object(&mut self.writes, frame.key, &[frame.body]);
        }
        store.add_entry(&mut self.writes, &mut self.clock, frame.key, header);
        wire::write(self.links.out(from), Kind::Stored, frame.id, &[], &[]);
        Ok(())
    }

    fn get(&mut self, from: usize, frame: &Frame<'_>, old: &[u8]) {
        let id = self.open((from, frame.id), old);
        self.tell_peers(Kind::Read, id, frame.key, &[]);
    }

    /// Another server's answer. With this server's own that makes two, and the client has its answer; the third is not needed.
    fn answered(&mut self, id: u32, body: &[u8]) {
        let pending = &mut self.pending[(id % PENDING_MAX) as usize];
        if pending.id != id {
            return;
        }
        let Some((client, request)) = pending.client.take() else {
            return;
        };
        let own = &pending.own[..];
        let newest = if Dot::of(own) < Dot::of(body) {
            body
        } else {
            own
        };
        wire::write(self.links.out(client), Kind::Done, request, &[], &[newest]);
    }

    fn open(&mut self, client: (usize, u32), own: &[u8]) -> u32 {
        self.next = self.next.wrapping_add(1);
        let pending = &mut self.pending[(self.next % PENDING_MAX) as usize];
        pending.id = self.next;
        pending.client = Some(client);
        pending.own.clear();
        pending.own.extend_from_slice(own);
        self.next
    }

    fn tell_peers(&mut self, kind: Kind, id: u32, key: &[u8], body: &[&[u8]]) {
        for peer in (0..SERVERS).filter(|peer| *peer != self.me) {
            wire::write(self.links.out(peer), kind, id, key, body);
        }
    }
}

fn frames(came: &[Came]) -> impl Iterator<Item = (usize, Frame<'_>)> {
    came.iter()
        .flat_map(|came| came.frames().map(move |frame| (came.from, frame)))
}

const fn is_about_an_object(kind: Kind) -> bool {
    match kind {
        Kind::Put | Kind::Get | Kind::Store | Kind::Read => true,
        Kind::Hello | Kind::Stored | Kind::Found | Kind::Done => false,
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since_1970.unwrap_or_default().as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}
