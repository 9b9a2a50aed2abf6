//! What dead containers have left: found by their records, which name their cgroups too. Mounts of theirs ended with their mount
//! namespaces.

use crate::container::Container;
use crate::error::Result;
use crate::record::Launched;
use crate::runtime::Runtime;
use std::time::Duration;
use wolffia_state::{ContainerId, Phase, StateError, Status, Store};

/// A container that is of no use to anybody any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub id: ContainerId,
    pub why: Death,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its program has ended, and nobody deleted it.
    Stopped,
    /// Its creator was killed before it was done.
    HalfMade,
    /// Its record cannot be read: somebody has to look at it.
    Unreadable,
}

impl Runtime {
    /// Every container that is dead now. One that a command works on is not.
    pub fn leftovers(&self) -> Result<Vec<Leftover>> {
        let ids = self.list()?;
        let Ok(store) = self.store(false) else { return Ok(Vec::new()) };
        let mut dead = Vec::new();
        for id in ids {
            if let Some(why) = self.death(&store, &id)? {
                dead.push(Leftover { id, why });
            }
        }
        Ok(dead)
    }

    fn death(&self, store: &Store, id: &ContainerId) -> Result<Option<Death>> {
        let Ok(dir) = store.open_dir(id) else { return Ok(None) };
        // Held while its state is asked for, because who makes it or deletes it holds it.
        let _lock = match dir.lock(Duration::ZERO) {
            Ok(lock) => lock,
            Err(StateError::Busy { .. }) => return Ok(None),
            Err(StateError::NotFound { .. }) => return Ok(store.open_dir(id).is_ok().then_some(Death::HalfMade)),
            Err(error) => return Err(error.into()),
        };
        match store.load::<Launched>(id) {
            Ok((_, record)) if record.phase == Phase::Creating => Ok(Some(Death::HalfMade)),
            Ok((dir, record)) => {
                let status = Container::new(self, Store::open(self.root(), false)?, dir, record).status()?;
                Ok((status == Status::Stopped).then_some(Death::Stopped))
            }
            Err(StateError::NotFound { .. }) => Ok(Some(Death::HalfMade)),
            Err(StateError::Corrupt { .. }) => Ok(Some(Death::Unreadable)),
            Err(error) => Err(error.into()),
        }
    }
}
