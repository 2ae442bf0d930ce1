//! Which container a process is in, from its cgroup: the one trace that every runtime leaves and everyone may read.

use std::fmt;

/// What made the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman, or another user of libpod.
    Podman,
    /// containerd (nerdctl, Kubernetes).
    Containerd,
    /// CRI-O.
    Crio,
    /// Kubernetes, by a runtime that its cgroup does not name.
    Kubernetes,
    /// LXC, LXD, Incus.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// Garden (Cloud Foundry), ECS and others: an id as containers have it, no runtime named.
    Unknown,
}

impl Runtime {
    /// The word shown for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
            Self::Kubernetes => "kubernetes",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Unknown => "container",
        }
    }
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What made it.
    pub runtime: Runtime,
    /// Its id in 12 digits, as `docker ps` and `crictl ps` show it (crictl 13), or its name where it has one.
    pub id: String,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.runtime.as_str(), self.id)
    }
}

impl Container {
    /// The container that `/proc/PID/cgroup` names: by version 2's line (`0::`) or by any of version 1's; the innermost
    /// one where containers nest. None for a plain service, a session, and for the runtime's own processes outside.
    pub fn of_cgroup(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        text.lines().find_map(|line| Self::of_path(line.splitn(3, ':').nth(2)?))
    }

    /// The container that a cgroup's path names.
    fn of_path(path: &str) -> Option<Self> {
        let in_pod = path.contains("kubepods");
        let segments: Vec<&str> = path.split('/').collect();
        let found = segments.iter().enumerate().rev().find_map(|(at, segment)| {
            let before = at.checked_sub(1).and_then(|at| segments.get(at)).copied().unwrap_or_default();
            of_segment(segment, before)
        });
        let (runtime, id) = found??;
        let runtime = if in_pod && runtime == Runtime::Unknown { Runtime::Kubernetes } else { runtime };
        Some(Self { runtime, id })
    }
}

/// `None`: says nothing, look further out. `Some(None)`: no container, whatever stands further out.
fn of_segment(segment: &str, before: &str) -> Option<Option<(Runtime, String)>> {
    // systemd: docker-ID.scope, libpod-ID.scope, cri-containerd-ID.scope; containerd without it: POD:cri-containerd:ID.
    let name = segment.strip_suffix(".scope").or_else(|| segment.strip_suffix(".service")).unwrap_or(segment);
    let name = name
        .rsplit_once(':')
        .map_or(name, |(front, id)| if is_id(id) { &name[front.rfind(':').map_or(0, |at| at + 1)..] } else { name });
    let split = name.rfind(['-', ':']).map(|at| (&name[..at], &name[at + 1..]));
    if let Some((prefix, id)) = split.filter(|(_, id)| is_id(id)) {
        let runtime = match prefix {
            "docker" => Runtime::Docker,
            "libpod" => Runtime::Podman,
            "cri-containerd" | "nerdctl" | "containerd" => Runtime::Containerd,
            "crio" => Runtime::Crio,
            // The monitors run outside of what they monitor.
            "libpod-conmon" | "crio-conmon" => return Some(None),
            _ => Runtime::Unknown,
        };
        return Some(Some((runtime, short(id))));
    }
    if is_id(segment) {
        let runtime = match before {
            "docker" => Runtime::Docker,
            "libpod" | "libpod_parent" => Runtime::Podman,
            "default" | "k8s.io" | "containerd" | "nerdctl" => Runtime::Containerd,
            _ => Runtime::Unknown,
        };
        return Some(Some((runtime, short(segment))));
    }
    if let Some(name) = segment.strip_prefix("lxc.payload.") {
        return Some(Some((Runtime::Lxc, unescape(name))));
    }
    if segment.starts_with("lxc.monitor") || before == "lxc.monitor" {
        return Some(None);
    }
    if matches!(before, "lxc" | "lxc.payload") && !segment.is_empty() {
        return Some(Some((Runtime::Lxc, unescape(segment))));
    }
    if let Some(name) = segment.strip_prefix("systemd-nspawn@").and_then(|s| s.strip_suffix(".service")) {
        return Some(Some((Runtime::Nspawn, unescape(name))));
    }
    if let Some(name) = segment.strip_prefix("machine-").and_then(|s| s.strip_suffix(".scope")) {
        let name = unescape(name);
        // libvirt's: qemu is no container, lxc-NUMBER-NAME is one.
        if name.starts_with("qemu-") {
            return Some(None);
        }
        let lxc = name.strip_prefix("lxc-").map(|rest| rest.split_once('-').map_or(rest, |(_, name)| name).to_owned());
        return Some(Some(lxc.map_or((Runtime::Nspawn, name), |name| (Runtime::Lxc, name))));
    }
    None
}

/// 64 hexadecimal digits: an id of the OCI runtimes'.
fn is_id(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// systemd-escape(1) writes a dash of a name as `\x2d`.
fn unescape(name: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let byte = tail.strip_prefix(b"x").and_then(|t| t.get(..2)).filter(|_| first == b'\\');
        match byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    super::escape(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4a8f1c2b5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7";

    fn of(text: &str) -> Option<String> {
        Container::of_cgroup(text.replace("ID", ID).as_bytes()).map(|c| c.to_string())
    }

    #[test]
    fn containers_of_every_runtime() {
        let cases = [
            ("docker, version 2, systemd", "0::/system.slice/docker-ID.scope\n", "docker 3f4a8f1c2b5d"),
            (
                "docker, version 1, cgroupfs",
                "12:pids:/docker/ID\n1:name=systemd:/docker/ID\n0::/\n",
                "docker 3f4a8f1c2b5d",
            ),
            (
                "docker, rootless",
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope\n",
                "docker 3f4a8f1c2b5d",
            ),
            ("docker, seen from a neighbour's cgroup namespace", "0::/../docker-ID.scope\n", "docker 3f4a8f1c2b5d"),
            ("docker, a process below", "0::/system.slice/docker-ID.scope/init\n", "docker 3f4a8f1c2b5d"),
            (
                "kubernetes, containerd, systemd",
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2b8d4c1e_7f1c_4b5e_9d27_5c0b8f6a1e3d.slice/cri-containerd-ID.scope\n",
                "containerd 3f4a8f1c2b5d",
            ),
            (
                "kubernetes, containerd, colons",
                "11:memory:/system.slice/containerd.service/kubepods-besteffort-pod2b8d4c1e_7f1c_4b5e_9d27_5c0b8f6a1e3d.slice:cri-containerd:ID\n",
                "containerd 3f4a8f1c2b5d",
            ),
            (
                "kubernetes, cgroupfs",
                "5:cpu,cpuacct:/kubepods/burstable/pod2b8d4c1e-7f1c-4b5e-9d27-5c0b8f6a1e3d/ID\n",
                "kubernetes 3f4a8f1c2b5d",
            ),
            (
                "kubernetes, cri-o",
                "0::/kubepods.slice/kubepods-pod2b8d4c1e_7f1c_4b5e_9d27_5c0b8f6a1e3d.slice/crio-ID.scope\n",
                "cri-o 3f4a8f1c2b5d",
            ),
            ("nerdctl", "0::/system.slice/nerdctl-ID.scope\n", "containerd 3f4a8f1c2b5d"),
            ("nerdctl, cgroupfs", "0::/default/ID\n", "containerd 3f4a8f1c2b5d"),
            ("podman", "0::/machine.slice/libpod-ID.scope/container\n", "podman 3f4a8f1c2b5d"),
            (
                "podman, rootless",
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container\n",
                "podman 3f4a8f1c2b5d",
            ),
            ("podman, cgroupfs", "0::/libpod_parent/libpod-ID\n", "podman 3f4a8f1c2b5d"),
            ("lxc, payload", "0::/lxc.payload.web-1/system.slice/cron.service\n", "lxc web-1"),
            ("lxc, version 1", "4:memory:/lxc/web-1/init.scope\n", "lxc web-1"),
            ("nspawn, service", "0::/machine.slice/systemd-nspawn@web\\x2d1.service/payload\n", "nspawn web-1"),
            ("nspawn, by hand", "0::/machine.slice/machine-web\\x2d1.scope/payload\n", "nspawn web-1"),
            ("libvirt lxc", "0::/machine.slice/machine-lxc\\x2d12345\\x2dweb.scope\n", "lxc web"),
            ("docker in docker", "0::/docker/aID/docker/ID\n", "docker 3f4a8f1c2b5d"),
            ("ecs", "9:pids:/ecs/8f1c2b5d6e7f8091/ID\n", "container 3f4a8f1c2b5d"),
        ];
        for (what, text, wanted) in cases {
            assert_eq!(of(text).as_deref(), Some(wanted), "{what}");
        }
    }

    #[test]
    fn what_is_no_container() {
        let cases = [
            ("the root", "0::/\n"),
            ("a service", "0::/system.slice/cron.service\n"),
            ("a session", "1:name=systemd:/user.slice/user-1000.slice/session-3.scope\n0::/user.slice\n"),
            (
                "a program under the user's systemd",
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x-123.scope\n",
            ),
            ("docker itself", "0::/system.slice/docker.service\n"),
            ("conmon", "0::/machine.slice/libpod-conmon-ID.scope\n"),
            ("lxc's monitor", "0::/lxc.monitor.web-1\n"),
            ("a virtual machine", "0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator\n"),
            ("nothing", ""),
            ("garbage", "::\n:\n\u{fffd}:\0\n"),
        ];
        for (what, text) in cases {
            assert_eq!(of(text), None, "{what}");
        }
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(of("0::/lxc/a\u{1b}[2J\n").as_deref(), Some("lxc a\\u{1b}[2J"));
        assert_eq!(unescape("a\\x1bb\\x2"), "a\\u{1b}b\\x2");
    }
}
