use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::cluster::{Loaded, Node, load, parse_kept};

const REST: &str = "\n[cluster]\nname = \"x\"\nnodes = [\"riak@10.0.0.1\"]\n[networks]\nprivate = [\"10.0.0.0/24\"]\n\
                    [services.distribution]\nports = \"6000\"\n";

fn node(address: &str) -> String {
    format!("[[node]]\nname = \"riak@{address}\"\n")
}

/// A folder with a cluster file that includes this.
fn folder(include: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("nodes.d")).unwrap();
    fs::write(folder.path().join("cluster.toml"), format!("include = {include}{REST}")).unwrap();
    folder
}

fn loaded(folder: &tempfile::TempDir) -> Loaded {
    load(&folder.path().join("cluster.toml")).unwrap()
}

fn nodes(loaded: &Loaded) -> Option<Vec<String>> {
    loaded.cluster.as_ref().map(|cluster| cluster.nodes().iter().map(Node::name).map(str::to_owned).collect())
}

fn codes(loaded: &Loaded) -> Vec<Code> {
    loaded.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn files_come_sorted_and_once_and_hidden_ones_do_not() {
    let folder = folder("[\"./nodes.d//c.toml\", \"nodes.d/[!x]*.toml\"]");
    let put = |name: &str, address: &str| fs::write(folder.path().join("nodes.d").join(name), node(address)).unwrap();
    for (name, address) in [("a.toml", "10.0.0.3"), ("B.toml", "10.0.0.4"), ("c.toml", "10.0.0.2")] {
        put(name, address);
    }
    put(".a.toml", "10.0.0.9");
    put("xa.toml", "10.0.0.9");
    put("a.toml~", "10.0.0.9");
    let loaded = loaded(&folder);
    let expected = ["riak@10.0.0.1", "riak@10.0.0.2", "riak@10.0.0.4", "riak@10.0.0.3"];
    assert_eq!(nodes(&loaded).unwrap(), expected, "{:?}", loaded.findings);
    let cluster = loaded.cluster.unwrap();
    assert_eq!(cluster.place(cluster.nodes()[3].span()), "nodes.d/a.toml:2");
    let names: Vec<_> = cluster.sources().included().filter_map(SourceFile::inside).collect();
    assert_eq!(names, ["nodes.d/c.toml", "nodes.d/B.toml", "nodes.d/a.toml"]);
    let now = included_now(&folder.path().join("cluster.toml"), cluster.includes()).unwrap();
    assert_eq!(now, names.iter().map(|name| folder.path().join(name)).collect::<Vec<_>>());
}

#[test]
fn links_are_followed_below_the_folder_only() {
    let folder = folder("[\"nodes.d/*.toml\"]");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("node.toml"), node("10.0.0.2")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/node.toml"), node("10.0.0.3")).unwrap();
    let link = folder.path().join("nodes.d/link.toml");
    symlink("../data/node.toml", &link).unwrap();
    assert_eq!(nodes(&loaded(&folder)).unwrap(), ["riak@10.0.0.1", "riak@10.0.0.3"]);
    // An absolute link is none that can be kept below the folder, wherever it leads.
    for target in [outside.path().join("node.toml"), folder.path().join("data/node.toml")] {
        fs::remove_file(&link).unwrap();
        symlink(target, &link).unwrap();
        assert_eq!(codes(&loaded(&folder)), [Code::BadInclude]);
    }
    fs::remove_file(&link).unwrap();
    fs::remove_dir(folder.path().join("nodes.d")).unwrap();
    symlink(outside.path(), folder.path().join("nodes.d")).unwrap();
    assert_eq!(codes(&loaded(&folder)), [Code::BadInclude]);
    fs::remove_file(folder.path().join("nodes.d")).unwrap();
    symlink("data", folder.path().join("nodes.d")).unwrap();
    assert_eq!(nodes(&loaded(&folder)).unwrap(), ["riak@10.0.0.1", "riak@10.0.0.3"]);
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let folder = folder("[\"nodes.d/*.toml\"]");
    let pipe = folder.path().join("nodes.d/pipe.toml");
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    assert_eq!(codes(&loaded(&folder)), [Code::UnreadableFile]);
    fs::remove_file(&pipe).unwrap();
    let itself = folder.path().join("nodes.d/itself.toml");
    fs::hard_link(folder.path().join("cluster.toml"), itself).unwrap();
    assert_eq!(codes(&loaded(&folder)), [Code::BadInclude]);
}

#[test]
fn there_are_not_endlessly_many() {
    let folder = folder("[\"nodes.d/*\"]");
    for number in 0..=MOST_FILES {
        fs::write(folder.path().join(format!("nodes.d/{number}")), "# nobody\n").unwrap();
    }
    let found = codes(&loaded(&folder));
    assert!(found.contains(&Code::BadInclude), "{found:?}");
    fs::remove_file(folder.path().join("nodes.d/0")).unwrap();
    let loaded = loaded(&folder);
    assert!(loaded.cluster.is_some() && codes(&loaded).iter().all(|code| *code == Code::EmptyInclude));
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let folder = folder("[\"nodes.d/*\"]");
    fs::write(folder.path().join("nodes.d/a"), "#".repeat(100)).unwrap();
    let opened = Folder::of(folder.path());
    assert!(opened.read("nodes.d/a", None, 100).is_ok());
    let Err(Refusal::Other(error)) = opened.read("nodes.d/a", None, 99) else { panic!("it was read") };
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

/// Whoever moves a text from one file to another, or gives it another name, has another input.
#[test]
fn the_digest_has_names_and_texts() {
    let digest = |files: &[(&str, &str)]| {
        let folder = folder("[\"nodes.d/*\"]");
        files.iter().for_each(|(name, text)| fs::write(folder.path().join("nodes.d").join(name), text).unwrap());
        loaded(&folder).cluster.unwrap().digest().to_owned()
    };
    let (a, b) = (node("10.0.0.2"), node("10.0.0.3"));
    let all = [
        digest(&[]),
        digest(&[("a", "")]),
        digest(&[("a", &a)]),
        digest(&[("b", &a)]),
        digest(&[("a", &b)]),
        digest(&[("a", &a), ("b", &b)]),
        digest(&[("a", &b), ("b", &a)]),
        digest(&[("a", &format!("{a}{b}"))]),
        digest(&[("a", &format!("{a}{b}")), ("b", "")]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "{at}");
    }
    assert_eq!(digest(&[("a", &a)]), all[2]);
}

#[test]
fn what_was_applied_is_read_again_without_its_files() {
    let text = format!("include = [\"nodes.d/*.toml\"]{REST}");
    let included = [Included { name: "nodes.d/a.toml".into(), text: node("10.0.0.2"), shown: true }];
    let again = |included| parse_kept("/nowhere/cluster.toml", text.clone(), None, included);
    let loaded = again(Some(&included));
    assert_eq!(nodes(&loaded).unwrap(), ["riak@10.0.0.1", "riak@10.0.0.2"]);
    let names: Vec<_> = loaded.sources.included().map(|file| file.name.clone()).collect();
    assert_eq!(names, ["/nowhere/nodes.d/a.toml"]);
    // Not less than what was applied.
    assert_eq!(codes(&again(None)), [Code::UnreadableFile]);
    let none = parse_kept("/nowhere/cluster.toml", REST.to_owned(), None, None);
    assert!(none.cluster.is_some());
}
