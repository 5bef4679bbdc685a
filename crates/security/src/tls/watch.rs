//! Files that are read again when they change: what was made of them is swapped as a whole, and stays as it was while
//! the files are broken.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::files::Contents;
use crate::error::SecurityError;

/// What is made of the files, beside what is in use.
type Build<T> = Box<dyn Fn(&Contents, Option<&T>) -> Result<T, SecurityError> + Send + Sync>;

/// Looks until something broken is tried again, though the files are as they were: it may begin to be good.
const LOOKS_UNTIL_RETRY: u32 = 60;

/// What was made of some files, and how it is made anew.
pub(crate) struct Watched<T> {
    paths: Vec<PathBuf>,
    build: Build<T>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
}

/// What a look at the files found.
struct Seen {
    /// What is in use.
    good: Contents,
    /// What the last look found, where that is not in use.
    broken: Option<Broken>,
}

struct Broken {
    contents: Option<Contents>,
    is_told: bool,
    /// How often it was found as it was.
    looks: u32,
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The files are as they were, or broken.
    Same,
    /// What is in use is new.
    Renewed,
}

impl<T> Watched<T> {
    /// Reads the files for the first time.
    pub(crate) fn open(
        paths: Vec<PathBuf>,
        build: impl Fn(&Contents, Option<&T>) -> Result<T, SecurityError> + Send + Sync + 'static,
    ) -> Result<Self, SecurityError> {
        let good = Contents::read(&paths)?;
        let current = ArcSwap::from_pointee(build(&good, None)?);
        Ok(Self { paths, build: Box::new(build), current, seen: Mutex::new(Seen { good, broken: None }) })
    }

    /// What is in use.
    pub(crate) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files again. Files may be replaced one after the other: what is broken is told when a second look
    /// finds it as it was, and `tells` is asked whether nobody else has told it.
    pub(crate) fn look(&self, name: &str, tells: impl FnOnce(&str) -> bool) -> Look {
        let read = Contents::read(&self.paths);
        let mut seen = self.seen.lock();
        if read.as_ref().is_ok_and(|contents| *contents == seen.good) {
            seen.broken = None;
            return Look::Same;
        }
        let contents = read.as_ref().ok().cloned();
        let is_known = seen.broken.as_ref().is_some_and(|broken| broken.contents == contents);
        let mut was_told = false;
        if let Some(broken) = seen.broken.as_mut().filter(|broken| is_known && broken.is_told) {
            was_told = true;
            broken.looks += 1;
            if broken.looks % LOOKS_UNTIL_RETRY != 0 {
                return Look::Same;
            }
        }
        let in_use = self.current();
        match read.and_then(|contents| Ok(((self.build)(&contents, Some(&in_use))?, contents))) {
            Ok((built, contents)) => {
                self.current.store(Arc::new(built));
                *seen = Seen { good: contents, broken: None };
                tracing::info!(name, files = %self, "certificates were read again");
                Look::Renewed
            }
            Err(error) => {
                if is_known && !was_told && tells(&error.to_string()) {
                    tracing::error!(name, files = %self, %error,
                        "new certificates are broken and the old ones stay in use, here and wherever else these files \
                         are named: replace the files");
                }
                seen.broken = Some(Broken { contents, is_told: is_known, looks: 0 });
                Look::Same
            }
        }
    }
}

impl<T> fmt::Display for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(","))
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("paths", &self.paths).finish_non_exhaustive()
    }
}
