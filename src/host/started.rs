//! How a process was started, as far as its control group says: whoever wants to give it another environment has to know where.

use std::fs;

/// What started a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Started {
    /// A unit of systemd, by its name: `riak.service`.
    Unit(String),
    /// A container, which has an environment of its own.
    Container,
    /// Somebody at a terminal, a script, or what is not known.
    #[default]
    Unknown,
}

/// Of a process of this host.
#[must_use]
pub fn started(pid: u32) -> Started {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).map_or(Started::Unknown, |text| of_groups(&text))
}

/// The file has one line for each hierarchy, `ID:CONTROLLERS:PATH` (cgroups(7)). systemd puts each service into a group of its name
/// (systemd.unit(5)); the names that engines give are those of their documentation: docker, libpod (podman), kubepods, lxc,
/// containerd and crio.
fn of_groups(text: &str) -> Started {
    const ENGINES: [&str; 6] = ["docker", "libpod", "kubepods", "lxc", "containerd", "crio"];
    let paths = || text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let parts = || paths().flat_map(|path| path.split('/'));
    // The engines themselves are services, and no containers.
    let is_container =
        |part: &str| !part.ends_with(".service") && ENGINES.iter().any(|engine| part.starts_with(engine));
    if parts().any(is_container) {
        return Started::Container;
    }
    let is_name = |part: &&str| part.chars().all(|c| c.is_ascii_alphanumeric() || "._-@:\\".contains(c));
    // `user@1000.service` is a user's own manager, and says nothing of what runs below it.
    let is_unit = |part: &&str| part.ends_with(".service") && !part.starts_with("user@") && is_name(part);
    parts().rfind(is_unit).map_or(Started::Unknown, |unit| Started::Unit(unit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_says_what_started_it() {
        let unit = |name: &str| Started::Unit(name.to_owned());
        for (text, expected) in [
            ("0::/system.slice/riak.service\n", unit("riak.service")),
            ("12:pids:/system.slice/epmd.service\n0::/system.slice/epmd.service\n", unit("epmd.service")),
            ("0::/system.slice/system-riak.slice/riak@one.service\n", unit("riak@one.service")),
            ("0::/system.slice/docker-0123abcd.scope\n", Started::Container),
            ("4:cpu:/docker/0123abcd\n", Started::Container),
            ("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope\n", Started::Container),
            ("0::/system.slice/docker.service\n", unit("docker.service")),
            ("0::/user.slice/user-0.slice/session-3.scope\n", Started::Unknown),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n", Started::Unknown),
            ("0::/system.slice/a b`.service\n", Started::Unknown),
            ("", Started::Unknown),
        ] {
            assert_eq!(of_groups(text), expected, "{text}");
        }
    }
}
