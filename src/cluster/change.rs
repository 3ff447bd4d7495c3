//! A cluster as it will be: with nodes that come, and without nodes that go.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::check::{self, Unread};
use super::config::read_short_node;
use super::model::Cluster;
use super::toml_reader::{Reader, Text};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Severity, Sources, Span};

impl Cluster {
    /// The same cluster with other nodes. Each that comes has its address in its name; `sources` are the texts of this
    /// cluster, and then those that the newcomers' places point into.
    ///
    /// # Errors
    /// What a cluster file with these nodes would be refused for. Of its warnings, a range too narrow for the nodes is told.
    pub fn with_nodes(
        &self,
        coming: &[(&str, Span)],
        going: &HashSet<&str>,
        sources: &Arc<Sources>,
    ) -> (Option<Self>, Vec<Diagnostic>) {
        let mut findings = Findings::default();
        let mut cluster = self.clone();
        cluster.sources = Arc::clone(sources);
        cluster.nodes.retain(|node| !going.contains(node.name()));
        for &(name, span) in coming {
            let reader = &mut Reader::new(span.file, &mut findings);
            cluster.nodes.extend(read_short_node(Text { text: name, span }, reader));
        }
        cluster.hosts = OnceLock::new();
        let unread = Unread { nodes: findings.errors() > 0, ..Unread::default() };
        check::check(&cluster, Span::new(FileId::CLUSTER, 0..0), &unread, &mut findings);
        let broken = findings.errors() > 0;
        let mut findings = findings.sorted();
        findings.retain(|finding| finding.severity() == Severity::Error || finding.code == Code::NarrowRange);
        (Some(cluster).filter(|_| !broken), findings)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Node, parse};
    use crate::diagnostic::SourceFile;

    const TEXT: &str = "[cluster]\nname = \"x\"\nnodes = [\"riak@10.0.0.1\", \"riak@10.0.0.2\"]\n[networks]\nprivate = \
                        [\"10.0.0.0/24\"]\n[services.distribution]\nports = \"6000-6001\"\n";

    fn change(coming: &str, going: &str) -> (Option<Vec<String>>, Vec<Code>) {
        let cluster = parse("cluster.toml", TEXT.to_owned(), Path::new("")).cluster.unwrap();
        let mut sources = cluster.sources().clone();
        let file = sources.add(SourceFile::new("status".into(), coming.to_owned()));
        let coming: Vec<(&str, Span)> = coming.split_whitespace().map(|name| (name, Span::new(file, 0..1))).collect();
        let (cluster, findings) = cluster.with_nodes(&coming, &going.split_whitespace().collect(), &Arc::new(sources));
        let names = cluster.map(|cluster| cluster.nodes().iter().map(Node::name).map(str::to_owned).collect());
        (names, findings.iter().map(|finding| finding.code).collect())
    }

    #[test]
    fn nodes_come_and_go() {
        let names = |names: [&str; 2]| Some(names.map(str::to_owned).to_vec());
        assert_eq!(change("riak@10.0.0.3", "riak@10.0.0.1"), (names(["riak@10.0.0.2", "riak@10.0.0.3"]), vec![]));
        let (found, codes) = change("riak@10.0.0.3", "");
        assert_eq!((found.map(|names| names.len()), codes), (Some(3), vec![Code::NarrowRange]));
    }

    #[test]
    fn what_no_cluster_file_may_say_is_refused() {
        assert_eq!(change("riak@db3", ""), (None, vec![Code::HostName]));
        assert_eq!(change("riak@10.0.1.3", "riak@10.0.0.1"), (None, vec![Code::NodeOutsidePrivate]));
        assert_eq!(change("other@10.0.0.1", "riak@10.0.0.2"), (None, vec![Code::DuplicateAddress]));
        assert_eq!(change("", "riak@10.0.0.1 riak@10.0.0.2"), (None, vec![Code::NoNodes]));
    }
}
