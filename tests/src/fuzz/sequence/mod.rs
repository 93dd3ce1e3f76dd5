//! A live replica under messages that no honest node or client would send, in any order.
//!
//! Peers are authenticated, and what one of them says of a class it serves is believed; so what hostile
//! messages write there is not judged. Judged is: nothing panics; what one message sets off is
//! bounded by what was said so far; every client is answered once; keys of a class that no message had
//! a say in are as they were; nothing that was stored is unreadable, and a replica opens on it; and
//! afterwards reads and writes go on.

mod script;
mod stage;

use quorate_protocol::client::{ClientReply, ClientRequest};

use self::script::Script;
use self::stage::Stage;
use super::source::Source;
use super::{Tally, Target};

/// The bytes are the choices of a script.
pub(super) const TARGET: Target = Target {
    name: "sequence",
    about: "a live replica under hostile peers and clients, message after message",
    draw: draw_script,
    check,
    weight: 40,
};

/// Most acts of one script.
const ACTS_MAX: u64 = 400;
/// Bytes of choices in one script at most.
const SCRIPT_BYTES_MAX: usize = 6 * 1024;
/// Longer than any deadline, and than everything that lingers after one.
const PATIENCE_US: u64 = 70_000_000;

fn draw_script(source: &mut Source<'_>) -> Vec<u8> {
    let length = 64 + source.index(SCRIPT_BYTES_MAX - 64);
    source.fill(length)
}

fn check(input: &[u8]) -> Result<Tally, String> {
    let mut source = Source::bytes(input);
    let mut stage = Stage::open()?;
    stage.settle()?;
    let honest = Honest::write(&mut stage)?;
    let mut script = Script::new();
    let mut tally = Tally::default();
    while !source.is_spent() && tally.inputs < ACTS_MAX {
        tally.add(script.act(&mut source, &mut stage)?);
    }
    stage.everybody_returns()?;
    stage.pass(PATIENCE_US)?;
    stage.is_idle()?;
    honest.check(&mut stage, "after the hostile messages")?;
    Honest::goes_on(&mut stage)?;
    stage.is_undamaged()?;
    stage.restart()?;
    stage.settle()?;
    stage.is_undamaged()?;
    honest.check(&mut stage, "after a restart")?;
    Ok(tally)
}

/// What was written before, in a class in which no hostile message is believed.
struct Honest(Vec<(Vec<u8>, Vec<u8>)>);

impl Honest {
    fn write(stage: &mut Stage) -> Result<Self, String> {
        let keys = stage.honest_keys(b"kept");
        let mut written = Vec::new();
        for (number, key) in keys.into_iter().enumerate() {
            let value = vec![u8::try_from(number).unwrap_or(0); 3 + number * 40_000];
            put(stage, &key, &value)?;
            written.push((key, value));
        }
        Ok(Self(written))
    }

    fn check(&self, stage: &mut Stage, when: &str) -> Result<(), String> {
        for (key, value) in &self.0 {
            holds(stage, key, value).map_err(|error| format!("{when}: {error}"))?;
        }
        Ok(())
    }

    /// A write and its read, now.
    fn goes_on(stage: &mut Stage) -> Result<(), String> {
        let keys = stage.honest_keys(b"new");
        let key = keys.first().ok_or("no key of the honest class")?;
        put(stage, key, b"as ever")?;
        holds(stage, key, b"as ever").map_err(|error| format!("afterwards: {error}"))
    }
}

fn put(stage: &mut Stage, key: &[u8], value: &[u8]) -> Result<(), String> {
    let request = stage.honest_put(key, value);
    let reply = stage.ask(request.into())?;
    if matches!(reply, ClientReply::Written(_)) {
        Ok(())
    } else {
        Err(format!("an honest put was answered by {reply:?}"))
    }
}

fn holds(stage: &mut Stage, key: &[u8], value: &[u8]) -> Result<(), String> {
    let request = ClientRequest::from(stage.honest_get(key));
    let reply = stage.ask(request)?;
    let ClientReply::Got(got) = reply else {
        return Err(format!("an honest get was answered by {reply:?}"));
    };
    match &got.siblings[..] {
        [only] if only.content.value == value => Ok(()),
        others => Err(format!(
            "an honest key has {} values, and not its own",
            others.len()
        )),
    }
}
