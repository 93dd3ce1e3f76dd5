//! Putting a restored state in the place of what a data directory holds: all of it, or nothing.
//!
//! ```text
//! restoring/            what is being put together; of no meaning
//! restored/             whole: it is in force, and only has to be moved to its place
//!   db/ map identity    as in the data directory
//!   note                what it is, for the log of the first start
//!   aside               the name of the directory to which goes what was there before
//! ```
//!
//! Renaming `restoring` is the moment at which the restored state takes the place of the old one. What follows is only
//! moved, by whoever opens the directory next if it must be, and can be done again from any point.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic::{create_dir_all, replace, sync_dir};

const STAGED: &str = "restoring";
const IN_FORCE: &str = "restored";
const ASIDE: &str = "aside";
const NOTE: &str = "note";
/// Where the note waits for the first start.
const NOTE_LEFT: &str = "restored.note";
/// In the order in which they are moved.
const PARTS: [&str; 3] = ["identity", "map", "db"];
/// Of the old state only.
const DAMAGED: &str = "db.damaged";

/// Makes an empty directory to put a state together in. What an interrupted attempt left is removed.
pub(crate) fn stage(dir: &Path) -> io::Result<PathBuf> {
    let staged = dir.join(STAGED);
    if staged.exists() {
        fs::remove_dir_all(&staged)?;
    }
    create_dir_all(&staged)?;
    Ok(staged)
}

/// Puts what is staged in force, and moves it to its place.
pub(crate) fn put_in_force(dir: &Path, note: &str) -> io::Result<()> {
    let staged = dir.join(STAGED);
    replace(&staged.join(NOTE), note.as_bytes())?;
    replace(&staged.join(ASIDE), free_name(dir).as_bytes())?;
    sync_dir(&staged)?;
    fs::rename(&staged, dir.join(IN_FORCE))?;
    sync_dir(dir)?;
    finish(dir)
}

/// A name under which nothing was set aside yet.
fn free_name(dir: &Path) -> String {
    let mut number = 1;
    loop {
        let name = format!("before-restore-{number}");
        if !dir.join(&name).exists() {
            return name;
        }
        number += 1;
    }
}

/// Whether a restored state is in force that is not in its place yet.
pub(super) fn is_pending(dir: &Path) -> bool {
    dir.join(IN_FORCE).exists()
}

/// Where a part of the state in force lies.
pub(super) fn part(dir: &Path, name: &str) -> PathBuf {
    let moved = dir.join(IN_FORCE).join(name);
    if moved.exists() {
        moved
    } else {
        dir.join(name)
    }
}

/// Moves a restored state to its place, if there is one.
pub(crate) fn finish(dir: &Path) -> io::Result<()> {
    if !is_pending(dir) {
        return Ok(());
    }
    let new = dir.join(IN_FORCE);
    // The file goes last of all: without it everything else is done.
    if let Ok(name) = fs::read_to_string(new.join(ASIDE)) {
        let aside = dir.join(name.trim());
        create_dir_all(&aside)?;
        set_aside(dir, &aside, DAMAGED)?;
        for name in PARTS {
            let from = new.join(name);
            if from.exists() {
                set_aside(dir, &aside, name)?;
                fs::rename(from, dir.join(name))?;
            }
        }
        if new.join(NOTE).exists() {
            fs::rename(new.join(NOTE), dir.join(NOTE_LEFT))?;
        }
        sync_dir(&aside)?;
        sync_dir(dir)?;
        // Empty where there was nothing to set aside.
        let _ = fs::remove_dir(&aside);
    }
    fs::remove_dir_all(&new)?;
    sync_dir(dir)
}

fn set_aside(dir: &Path, aside: &Path, name: &str) -> io::Result<()> {
    let (from, to) = (dir.join(name), aside.join(name));
    if from.exists() && !to.exists() {
        fs::rename(from, to)?;
    }
    Ok(())
}

/// What the first start after a restore has to say of it; `None` if it was said.
pub(super) fn take_note(dir: &Path) -> io::Result<Option<String>> {
    let path = dir.join(NOTE_LEFT);
    match fs::read_to_string(&path) {
        Ok(note) => {
            fs::remove_file(&path)?;
            Ok(Some(note))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OLD: [(&str, &str); 3] = [("identity", "old"), ("map", "old"), ("db/CURRENT", "old")];

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    fn assert_state(dir: &Path, content: &str) {
        for (name, _) in OLD {
            assert_eq!(
                fs::read_to_string(dir.join(name)).unwrap(),
                content,
                "{name}"
            );
        }
    }

    #[test]
    fn a_staged_state_takes_the_place_of_the_old_one_which_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        write(dir, &OLD);
        write(dir, &[("db.damaged/CURRENT", "damaged"), ("LOCK", "1")]);
        let staged = stage(dir).unwrap();
        write(&staged, &OLD.map(|(name, _)| (name, "new")));
        finish(dir).unwrap();
        assert_state(dir, "old");
        put_in_force(dir, "a note").unwrap();
        assert_state(dir, "new");
        assert_state(&dir.join("before-restore-1"), "old");
        assert!(dir.join("before-restore-1/db.damaged").exists());
        assert_eq!(take_note(dir).unwrap().unwrap(), "a note");
        assert_eq!(take_note(dir).unwrap(), None);
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["LOCK", "before-restore-1", "db", "identity", "map"]);
    }

    #[test]
    fn wherever_the_move_is_interrupted_the_next_opening_ends_it() {
        // Each number of moves that may have been made: old aside and new in place, part by part.
        for moves in 0..=7 {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            write(dir, &OLD);
            let (new, aside) = (dir.join(IN_FORCE), dir.join("before-restore-1"));
            write(&new, &OLD.map(|(name, _)| (name, "new")));
            write(&new, &[(ASIDE, "before-restore-1"), (NOTE, "a note")]);
            fs::create_dir(&aside).unwrap();
            let mut steps = Vec::new();
            for name in PARTS {
                steps.push((dir.join(name), aside.join(name)));
                steps.push((new.join(name), dir.join(name)));
            }
            steps.push((new.join(NOTE), dir.join(NOTE_LEFT)));
            for (from, to) in steps.into_iter().take(moves) {
                fs::rename(from, to).unwrap();
            }
            assert!(is_pending(dir));
            assert_eq!(fs::read_to_string(part(dir, "map")).unwrap(), "new");
            finish(dir).unwrap();
            assert_state(dir, "new");
            assert_state(&aside, "old");
            assert_eq!(take_note(dir).unwrap().unwrap(), "a note");
            assert!(!is_pending(dir));
        }
    }
}
