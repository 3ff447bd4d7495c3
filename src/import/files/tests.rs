use super::*;
use crate::cluster::default_profile;

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn read_all(paths: &[&Path]) -> (Vec<Vec<String>>, Vec<Code>) {
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
    let nodes = read(&paths, &mut sources, &mut findings);
    let name = |file: &File| {
        let path = sources.get(file.id).unwrap().name.clone();
        format!("{} {}", file.kind.name(), Path::new(&path).file_name().unwrap().to_str().unwrap())
    };
    let nodes = nodes.iter().map(|files| files.iter().map(name).collect()).collect();
    (nodes, findings.sorted().iter().map(|finding| finding.code).collect())
}

#[test]
fn a_folder_is_a_node() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("vm.args", "-name a"), ("app.config", "[]."), ("notes", "x")]);
    let (nodes, codes) = read_all(&[folder.path()]);
    assert_eq!((nodes, codes), (vec![vec!["app.config app.config".to_owned(), "vm.args vm.args".to_owned()]], vec![]));
}

#[test]
fn several_nodes_in_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a/riak.conf", ""), ("b/etc/vm.args", ""), ("c/other", "")]);
    assert_eq!(read_all(&[folder.path()]).0, [["riak.conf riak.conf"], ["vm.args vm.args"]]);
    let flat = tempfile::tempdir().unwrap();
    write(flat.path(), &[("db1-riak.conf", ""), ("db2-riak.conf", ""), ("db1-advanced.config", "")]);
    let (nodes, _) = read_all(&[flat.path()]);
    assert_eq!(
        nodes,
        [vec!["riak.conf db1-riak.conf", "advanced.config db1-advanced.config"], vec!["riak.conf db2-riak.conf"]]
    );
}

#[test]
fn names_that_say_nothing_are_known_by_their_text() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[("x", "% a\n[ ].\n"), ("y", "## a\n\n-name b\n"), ("z", "a = b\n"), ("none", "== Membership ==\n")],
    );
    let paths = ["x", "y", "z", "none"].map(|name| folder.path().join(name));
    let (nodes, codes) = read_all(&paths.each_ref().map(PathBuf::as_path));
    assert_eq!(nodes, [["app.config x"], ["vm.args y"], ["riak.conf z"]]);
    assert_eq!(codes, [Code::UnknownFile]);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("riak.conf");
    assert_eq!(read_all(&[folder.path()]).1, [Code::NoFiles]);
    assert_eq!(read_all(&[&file]).1, [Code::UnreadableFile]);
    fs::write(&file, "# {{ok}}\nnodename = {{node}}\n").unwrap();
    assert_eq!(read_all(&[&file]).1, [Code::Template]);
    fs::write(&file, "# {{ok}}\nnodename = x\n").unwrap();
    assert_eq!(read_all(&[&file, &file]).1, [Code::UnknownFile]);
}

#[test]
fn the_usual_places() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(usual(root.path(), &[default_profile()]), Err(Vec::new()));
    write(root.path(), &[("opt/msys/3rdParty/riak/etc/app.config", "[].")]);
    assert_eq!(usual(root.path(), &[default_profile()]), Ok(root.path().join("opt/msys/3rdParty/riak/etc")));
    write(root.path(), &[("etc/riak/riak.conf", "")]);
    assert_eq!(usual(root.path(), &[default_profile()]).unwrap_err().len(), 2);
}

#[test]
fn latin_1_is_taken_for_what_it_is() {
    assert_eq!(read_text(&b"caf\xe9"[..], 4).unwrap(), "caf\u{e9}");
    assert_eq!(read_text("caf\u{e9}".as_bytes(), 5).unwrap(), "caf\u{e9}");
    assert!(read_text(&b"caf\xe9"[..], 3).is_err());
}

#[test]
fn what_is_there_and_cannot_be_read_is_not_taken_for_absent() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("app.config", "[].")]);
    std::os::unix::fs::symlink("nowhere", folder.path().join("vm.args")).unwrap();
    assert_eq!(read_all(&[folder.path()]).1, [Code::UnreadableFile]);
    // A pipe is never opened: this would wait for a writer.
    let pipes = tempfile::tempdir().unwrap();
    let pipe = pipes.path().join("riak.conf");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(read_all(&[pipes.path()]).1, [Code::UnreadableFile]);
    assert_eq!(read_all(&[&pipe]).1, [Code::UnreadableFile]);
    // In the usual places a link that leads nowhere is a file, too.
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/riak")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.path().join("etc/riak/riak.conf")).unwrap();
    assert_eq!(usual(root.path(), &[default_profile()]), Ok(root.path().join("etc/riak")));
}

#[test]
fn beside_the_usual_name_others_are_copies() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[("riak.conf", ""), ("old-riak.conf", ""), ("2019-riak.conf", ""), ("advanced.config", "[].")],
    );
    let (nodes, codes) = read_all(&[folder.path()]);
    assert_eq!(nodes, [["riak.conf riak.conf", "advanced.config advanced.config"]]);
    assert_eq!(codes, [Code::IgnoredFile, Code::IgnoredFile]);
}

#[test]
fn the_old_file_of_rabbitmq_is_known_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("rabbitmq.config", "[]."), ("conf.d/a.conf", ""), ("rabbitmq.conf", "")]);
    let (nodes, codes) = read_all(&[folder.path()]);
    assert_eq!(nodes, [["rabbitmq.conf rabbitmq.conf", "conf.d/*.conf a.conf", "rabbitmq.config rabbitmq.config"]]);
    assert!(codes.is_empty());
    assert_eq!(Kind::RabbitmqConfig.profile().map(|profile| profile.name.as_str()), Some("rabbitmq"));
}

/// A file of keys and values under another name is of the program whose keys it has.
#[test]
fn keys_tell_whose_they_are() {
    for (text, kind) in [
        ("cluster_formation.peer_discovery_backend = classic_config\n", Kind::RabbitmqConf),
        ("cluster_formation.classic_config.nodes.1 = rabbit@10.20.0.11\n", Kind::RabbitmqConf),
        ("# x\nlog.console = on\nlisteners.tcp = none\n", Kind::RabbitmqConf),
        ("management.path_prefix = /x\n", Kind::RabbitmqConf),
        ("nodename = riak@10.20.0.11\n", Kind::RiakConf),
        ("listener.http.internal = 10.20.0.11:8098\n", Kind::RiakConf),
        ("log.console = both\n", Kind::RiakConf),
        ("replrtq_enablesrc = enabled\nstream.x = 1\n", Kind::RiakConf),
    ] {
        assert_eq!(Kind::of_text(text), Some(kind), "{text}");
    }
}
