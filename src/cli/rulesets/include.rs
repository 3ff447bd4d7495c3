//! What a file for nft includes.
//!
//! A line that is an `include` and nothing else stands for the lines of the files that it names, as nft itself takes it:
//! variables and blocks go on across them.
//!
//! A name that begins with no slash is looked for where nft looks for it: in /etc and in the folders that `nft -I` names, and not beside the
//! file that it stands in; one that begins with `./` or `../` counts from the folder that nft runs in (nft(8), "INCLUDE FILES"), for which
//! the one that this runs in is taken. So such names are followed in /etc for what lies there itself, and otherwise where somebody said that
//! nft looks: a pattern for which nft finds no file is no error, and its rules are in no kernel then.
//!
//! INVARIANT (folder): nothing is read outside of the folder of the file that was asked for, and of those that are allowed besides, not by
//! links either. Such a line stays as it is, and whoever reads the text says that what it names was not read.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::input::limited;
use crate::diagnostic::may_be_shown;
use crate::report::Digested;

/// Where nft looks for files that are included (`DEFAULT_INCLUDE_PATH`).
const USUAL: &str = "/etc";

/// Files that include files that include files: nft gives up here (`MAX_INCLUDE_DEPTH`).
const DEEPEST: usize = 16;

/// So many files make a ruleset, and so many bytes.
const MOST_FILES: usize = 1000;
const MOST_BYTES: usize = 1 << 28;

/// Lines of one file.
pub struct Part {
    /// The file.
    pub name: String,
    /// The first of the lines, from 1.
    pub first: u32,
    /// The lines.
    pub text: String,
    /// What each line is, where the text was made of JSON.
    pub names: Vec<String>,
    /// Whether its lines may be shown to whoever asked.
    pub shown: bool,
}

impl Part {
    /// A whole file.
    pub fn whole(name: &str, text: String, shown: bool) -> Self {
        Self { name: name.to_owned(), first: 1, text, names: Vec::new(), shown }
    }
}

/// The parts that a text consists of, in their order, and the digests of the files that it includes. Files may also be in these folders.
pub fn parts(path: &Path, text: String, shown: bool, allowed: &[PathBuf]) -> (Vec<Part>, Vec<Digested>) {
    let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let folders = folder.into_iter().chain(allowed.iter().map(PathBuf::as_path));
    let roots = folders.filter_map(|folder| folder.canonicalize().ok()).collect();
    let own = folder.filter(|folder| folder.canonicalize().is_ok_and(|own| own == Path::new(USUAL)));
    let mut reader = Reader {
        roots,
        usual: own.map(Path::to_owned),
        named: allowed.to_vec(),
        parts: Vec::new(),
        texts: Vec::new(),
        files: MOST_FILES,
        bytes: MOST_BYTES,
    };
    reader.file(path, &text, shown, 0);
    if let [one] = reader.parts.as_mut_slice() {
        // Nothing is included.
        one.text = text;
    }
    (reader.parts, reader.texts)
}

struct Reader {
    /// Where files may be read; nowhere, for what does not come from a file.
    roots: Vec<PathBuf>,
    /// Where nft looks without being told to, as far as that may be read.
    usual: Option<PathBuf>,
    /// Where it looks since it is told to.
    named: Vec<PathBuf>,
    parts: Vec<Part>,
    /// Of what was included.
    texts: Vec<Digested>,
    files: usize,
    bytes: usize,
}

impl Reader {
    fn file(&mut self, path: &Path, text: &str, shown: bool, depth: usize) {
        let name = path.display().to_string();
        let mut own = Part::whole(&name, String::new(), shown);
        let mut number = 0_u32;
        for line in text.lines() {
            number = number.saturating_add(1);
            let found = included(line).and_then(|pattern| self.find(pattern, depth));
            let Some(files) = found else {
                own.text.push_str(line);
                own.text.push('\n');
                continue;
            };
            let next = Part { first: number.saturating_add(1), ..Part::whole(&name, String::new(), shown) };
            self.parts.push(std::mem::replace(&mut own, next));
            for (path, text, shown) in files {
                self.texts.push(Digested::of(&path.display().to_string(), &text));
                self.file(&path, &text, shown, depth + 1);
            }
        }
        self.parts.push(own);
    }

    /// The files that a pattern names, with their texts; `None` if one of them must not or cannot be read, or if it is not known where nft
    /// looks for them.
    fn find(&mut self, pattern: &str, depth: usize) -> Option<Vec<(PathBuf, String, bool)>> {
        if depth >= DEEPEST {
            return None;
        }
        let by_folder = pattern.starts_with("./") || pattern.starts_with("../");
        let folders: Vec<PathBuf> = match pattern.starts_with('/') {
            true => vec![PathBuf::new()],
            false if by_folder => env::current_dir().into_iter().collect(),
            false => self.usual.iter().chain(&self.named).cloned().collect(),
        };
        // nft would take what is in /etc before what is in any other folder.
        if !by_folder && !pattern.starts_with('/') && self.usual.is_none() && is_there(&Path::new(USUAL).join(pattern))
        {
            return None;
        }
        let mut paths = None;
        for folder in folders {
            let found = self.named_by(&folder.join(pattern))?;
            let is_last = !found.is_empty();
            paths = Some(found);
            if is_last {
                break;
            }
        }
        // What is no pattern has to be there.
        let paths = paths.filter(|paths| !paths.is_empty() || is_pattern(pattern))?;
        self.files = self.files.checked_sub(paths.len())?;
        let mut files = Vec::new();
        for path in paths {
            // A pipe would be waited for, perhaps for ever.
            let file =
                fs::metadata(&path).ok().filter(fs::Metadata::is_file).and_then(|_| fs::File::open(&path).ok())?;
            let text = limited(&file).ok()?;
            self.bytes = self.bytes.checked_sub(text.len())?;
            files.push((path, text, may_be_shown(&file)));
        }
        Some(files)
    }

    /// The files that a pattern with its folder names; `None` where that must not be known.
    fn named_by(&self, whole: &Path) -> Option<Vec<PathBuf>> {
        let name = whole.file_name()?.to_str()?;
        let folder = whole.parent()?;
        let is_in = |path: &Path| self.roots.iter().any(|root| path.starts_with(root));
        let within = |path: &Path| path.canonicalize().is_ok_and(|path| is_in(&path));
        let missing = |path: &Path| !path.exists() && self.roots.iter().any(|root| inside(root, path));
        let paths = match is_pattern(name) {
            false if fs::symlink_metadata(whole).is_err() && missing(whole) => Vec::new(),
            false => vec![whole.to_owned()],
            // No such folder holds no such file.
            true if missing(folder) => Vec::new(),
            true if within(folder) => matching(folder, name)?,
            true => return None,
        };
        (!is_pattern(folder.to_str()?) && paths.iter().all(|path| within(path))).then_some(paths)
    }
}

/// Whether a name, or a pattern, may stand for a file.
fn is_there(whole: &Path) -> bool {
    let parts = || (whole.parent().unwrap_or(whole), whole.file_name().unwrap_or_default().to_string_lossy());
    match parts() {
        (folder, name) if is_pattern(&name) || is_pattern(&folder.to_string_lossy()) => {
            folder.exists() && matching(folder, &name).is_none_or(|found| !found.is_empty())
        }
        _ => whole.exists(),
    }
}

/// Whether a folder that is not there would be within another one, by its name.
fn inside(root: &Path, folder: &Path) -> bool {
    let up = folder.components().any(|part| part == std::path::Component::ParentDir);
    let there = folder.ancestors().find(|path| path.exists()).and_then(|path| path.canonicalize().ok());
    !up && there.is_some_and(|path| path.starts_with(root))
}

/// What a line includes, if it does nothing else.
fn included(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("include")?;
    let (name, behind) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    let behind = behind.trim_start().trim_start_matches(';').trim_start();
    (rest.starts_with([' ', '\t', '"']) && (behind.is_empty() || behind.starts_with('#'))).then_some(name)
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The files of a folder whose names fit, sorted; hidden ones do not. `None` for a pattern that is not known here.
fn matching(folder: &Path, pattern: &str) -> Option<Vec<PathBuf>> {
    if pattern.contains(['[', '\\']) {
        return None;
    }
    let entries = fs::read_dir(folder).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.file_name();
        let fits = name.to_str().is_some_and(|name| !name.starts_with('.') && fits(name, pattern));
        if fits && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Some(paths)
}

/// Whether a name fits a pattern of `*` and `?`.
fn fits(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    // How far the pattern can have been used up when so much of the name has been.
    let mut reached = vec![false; pattern.len() + 1];
    let close = |reached: &mut Vec<bool>| {
        for (at, sign) in pattern.iter().enumerate() {
            let here = *sign == '*' && reached.get(at) == Some(&true);
            if let Some(next) = reached.get_mut(at + 1).filter(|_| here) {
                *next = true;
            }
        }
    };
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    close(&mut reached);
    for letter in name {
        let mut next = vec![false; pattern.len() + 1];
        for (at, sign) in pattern.iter().enumerate().filter(|(at, _)| reached.get(*at) == Some(&true)) {
            let to = match sign {
                '*' => at,
                '?' => at + 1,
                own if *own == letter => at + 1,
                _ => continue,
            };
            if let Some(place) = next.get_mut(to) {
                *place = true;
            }
        }
        close(&mut next);
        reached = next;
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn patterns() {
        for (name, pattern, expected) in [
            ("a.nft", "*.nft", true),
            ("a.nft", "a.nft", true),
            ("a.nft", "?.n*t", true),
            (".nft", "*", true),
            ("a.nf", "*.nft", false),
            ("ab.nft", "?.nft", false),
            ("a", "", false),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn lines_that_include() {
        assert_eq!(included("include \"a.nft\""), Some("a.nft"));
        assert_eq!(included("\tinclude \"/etc/b/*.nft\" ; # all"), Some("/etc/b/*.nft"));
        for line in ["# include \"a\"", "included \"a\"", "include a", "include \"a\" table x", "x include \"a\""] {
            assert_eq!(included(line), None, "{line}");
        }
    }

    #[test]
    fn only_what_is_in_the_folder_is_read() {
        let folder = env::temp_dir().join(format!("ringfence-include-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("etc/rules.d")).unwrap();
        fs::write(folder.join("secret.nft"), "secret\n").unwrap();
        fs::write(folder.join("etc/rules.d/b.nft"), "b\ninclude \"defs.nft\"").unwrap();
        fs::write(folder.join("etc/rules.d/a.nft"), "a\n").unwrap();
        fs::write(folder.join("etc/rules.d/.hidden.nft"), "hidden\n").unwrap();
        fs::write(folder.join("etc/defs.nft"), "d1\nd2\n").unwrap();
        fs::write(folder.join("etc/loop.nft"), "include \"loop.nft\"\n").unwrap();
        std::os::unix::fs::symlink(folder.join("secret.nft"), folder.join("etc/link.nft")).unwrap();
        let main = folder.join("etc/main.nft");
        let absolute = format!("include \"{}/*.nft\"", folder.join("etc/rules.d").display());
        let read = |text: &str| -> Vec<(String, u32, String)> {
            let name = |part: &Part| part.name.strip_prefix(folder.to_str().unwrap()).unwrap_or("?").to_owned();
            let (parts, _) = parts(&main, text.to_owned(), true, &[folder.join("etc")]);
            parts
                .into_iter()
                .map(|part| (name(&part), part.first, part.text))
                .filter(|part| !part.2.is_empty())
                .collect()
        };
        let part = |name: &str, first, text: &str| (format!("/etc/{name}"), first, text.to_owned());
        for text in ["one\ninclude \"rules.d/*.nft\"\ntwo\n", &format!("one\n{absolute}\ntwo\n")] {
            assert_eq!(
                read(text),
                [
                    part("main.nft", 1, "one\n"),
                    part("rules.d/a.nft", 1, "a\n"),
                    part("rules.d/b.nft", 1, "b\n"),
                    part("defs.nft", 1, "d1\nd2\n"),
                    part("main.nft", 3, "two\n"),
                ]
            );
        }
        for refused in ["../secret.nft", "link.nft", "/etc/hostname", "missing.nft", "../*.nft", "*/a.nft", "[ab].nft"]
        {
            let text = format!("include \"{refused}\"\n");
            assert_eq!(read(&text), [part("main.nft", 1, &text)], "{refused}");
        }
        assert_eq!(read("include \"none.d/*.nft\"\nx\n"), [part("main.nft", 2, "x\n")]);
        assert!(read("include \"loop.nft\"\n").iter().any(|part| part.2.contains("include")));
        // nft does not look beside a file, so what is there is not taken for what it finds.
        for relative in ["rules.d/*.nft", "./rules.d/*.nft", "defs.nft", "none.d/*.nft"] {
            let text = format!("include \"{relative}\"\n");
            let (parts, _) = parts(&main, text.clone(), true, &[]);
            let texts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
            assert_eq!(texts, [text], "{relative}");
        }
        // Where it is allowed it is read, and nowhere else.
        fs::create_dir_all(folder.join("share")).unwrap();
        fs::write(folder.join("share/d.nft"), "d\n").unwrap();
        let allowed = [folder.join("share")];
        let texts = |name: &str| -> Vec<String> {
            let (parts, _) = parts(&main, format!("include \"{name}\"\n"), true, &allowed);
            parts.into_iter().map(|part| part.text).filter(|text| !text.is_empty()).collect()
        };
        assert_eq!(texts("d.nft"), ["d\n"]);
        // These count from where nft runs, which is not here.
        for relative in ["../share/d.nft", "./d.nft"] {
            assert_eq!(texts(relative), [format!("include \"{relative}\"\n")]);
        }
        // nft would find this one in /etc.
        fs::write(folder.join("share/passwd"), "p\n").unwrap();
        for usual in ["passwd", "passw?"] {
            assert_eq!(texts(usual), [format!("include \"{usual}\"\n")]);
        }
        assert_eq!(texts(&folder.join("share/*.nft").display().to_string()), ["d\n"]);
        assert_eq!(texts("../secret.nft"), ["include \"../secret.nft\"\n"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
