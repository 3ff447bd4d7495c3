//! The files beside a cluster file: its profile, and what it includes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::include::{Folder, Included, Pattern, read_all};
use crate::cluster::toml_reader::Reader;
use crate::diagnostic::{SourceFile, may_be_shown};

/// 100,000 nodes in their longest form take about 20 MB.
pub(super) const LARGEST_FILE: u64 = 256 << 20;

/// Where they come from.
#[derive(Clone, Copy)]
pub(super) enum Beside<'a> {
    /// The folder of the cluster file, and which file that is, where it is one.
    Folder(&'a Path, Option<Identity>),
    /// What was kept of them, wherever they were: the profile where it was a file, and what was included, which is nothing where that
    /// is not known.
    Kept(&'a Path, Option<&'a str>, Option<&'a [Included]>),
}

/// Device and inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self(metadata.dev(), metadata.ino()))
    }
}

impl Beside<'_> {
    /// The file of a profile that is given by path.
    pub(super) fn profile(self, name: &str) -> io::Result<SourceFile> {
        match self {
            Self::Folder(folder, _) => {
                let path = folder.join(name);
                let file = File::open(&path)?;
                let shown = may_be_shown(&file);
                let text = read_file(file, LARGEST_FILE)?;
                Ok(SourceFile::new(path.to_string_lossy().into_owned(), text).with_shown(shown))
            }
            Self::Kept(_, profile, _) => {
                let text = profile.ok_or(io::ErrorKind::NotFound)?;
                Ok(SourceFile::new(name.to_owned(), text.to_owned()))
            }
        }
    }

    /// What is included, in the order in which it counts; and whether all of it could be read, which was said otherwise.
    pub(super) fn included(self, patterns: &[Pattern<'_>], reader: &mut Reader<'_>) -> (Vec<SourceFile>, bool) {
        let (folder, (files, whole)) = match self {
            Self::Folder(folder, own) => (folder, read_all(&Folder::of(folder), own, patterns, reader)),
            Self::Kept(folder, _, Some(included)) => (folder, (included.to_vec(), true)),
            Self::Kept(folder, _, None) => {
                patterns.iter().take(1).for_each(|pattern| reader.push(pattern.not_kept()));
                (folder, (Vec::new(), patterns.is_empty()))
            }
        };
        let source = |file: Included| {
            let name = folder.join(&file.name).to_string_lossy().into_owned();
            SourceFile::included(name, file.name, file.text).with_shown(file.shown)
        };
        (files.into_iter().map(source).collect(), whole)
    }
}

/// All of a file's text that is not longer than so many bytes.
pub(super) fn read_file(file: File, largest: u64) -> io::Result<String> {
    let size = file.metadata()?.len();
    read_text_of(file, usize::try_from(size.min(largest)).unwrap_or(0), largest)
}

/// The same of whatever can be read.
pub(super) fn read_text(reader: impl io::Read, largest: u64) -> io::Result<String> {
    read_text_of(reader, 0, largest)
}

/// `size` is how long it most likely is.
fn read_text_of(reader: impl io::Read, size: usize, largest: u64) -> io::Result<String> {
    let mut text = String::with_capacity(size);
    reader.take(largest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", largest >> 20)));
    }
    // It is kept as long as the cluster, and reading leaves it up to twice as large as it is.
    text.shrink_to_fit();
    Ok(text)
}
