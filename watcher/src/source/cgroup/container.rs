//! Which container a cgroup path names, pure over text.

use crate::source::proc::CgroupPath;
use crate::vocabulary::process::Container;

/// The container in which a process with these cgroups runs. Containers in containers: the innermost.
pub fn container(paths: &[CgroupPath]) -> Option<Container> {
    // The hierarchies agree where there is a container; some of them may be left at the root.
    paths.iter().find_map(|path| of_path(&path.path))
}

fn of_path(path: &str) -> Option<Container> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    (0..segments.len()).rev().find_map(|index| {
        let parent = index.checked_sub(1).map(|parent| segments[parent]);
        of_segment(segments[index], parent, &segments[..index])
    })
}

fn of_segment(segment: &str, parent: Option<&str>, above: &[&str]) -> Option<Container> {
    let named = |id: &str, runtime| Some(Container { id: id.to_owned(), runtime: Some(runtime) });
    let unit = segment.strip_suffix(".scope").unwrap_or(segment);
    // containerd's own spelling for systemd's `slice:prefix:name` where the cgroupfs driver is at work.
    let unit = unit.rsplit(':').next().filter(|_| segment.contains(":cri-containerd:")).unwrap_or(unit);
    if let Some(id) = hexadecimal_id(unit) {
        let runtime = if segment.contains(":cri-containerd:") {
            Some("containerd")
        } else if parent == Some("docker") {
            Some("docker")
        } else if above.first() == Some(&"ecs") {
            Some("ecs")
        } else if above.iter().any(|segment| segment.starts_with("kubepods")) {
            Some("kubernetes")
        } else {
            None
        };
        return Some(Container { id: id.to_owned(), runtime });
    }
    for (prefix, runtime) in [
        ("docker-", "docker"),
        ("cri-containerd-", "containerd"),
        ("nerdctl-", "containerd"),
        ("crio-", "crio"),
        ("libpod-payload-", "podman"),
        ("libpod-", "podman"),
    ] {
        if let Some(id) = unit.strip_prefix(prefix).and_then(hexadecimal_id) {
            return named(id, runtime);
        }
    }
    // These two are named by people, not by number.
    if let Some(name) = segment.strip_prefix("lxc.payload.") {
        return named(name, "lxc");
    }
    if matches!(parent, Some("lxc" | "lxc.payload")) {
        return named(segment, "lxc");
    }
    segment
        .strip_prefix("systemd-nspawn@")
        .and_then(|name| name.strip_suffix(".service"))
        .and_then(|name| named(name, "systemd-nspawn"))
}

/// 64 hexadecimal digits.
fn hexadecimal_id(text: &str) -> Option<&str> {
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::of_path;
    use proptest::prelude::*;

    const A: &str = "a3c1f0d7b8e94a6c5d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c";
    const B: &str = "0000000000000000000000000000000000000000000000000000000000000001";

    #[test]
    fn paths_of_the_runtimes() {
        for (path, expected) in [
            ("/", None),
            ("", None),
            ("/user.slice/user-1000.slice/session-3.scope", None),
            ("/system.slice/docker.service", None),
            ("/docker/A", Some(("A", "docker"))),
            ("/docker/B/docker/A", Some(("A", "docker"))),
            ("/docker/A/init.scope", Some(("A", "docker"))),
            ("/system.slice/docker-A.scope", Some(("A", "docker"))),
            ("/../docker-A.scope", Some(("A", "docker"))),
            ("/../../system.slice/docker-A.scope/app", Some(("A", "docker"))),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-A.scope", Some(("A", "docker"))),
            ("/kubepods/burstable/pod1d2e-33/A", Some(("A", "kubernetes"))),
            ("/kubepods/podX/A", Some(("A", "kubernetes"))),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-A.scope",
                Some(("A", "containerd")),
            ),
            (
                "/system.slice/containerd.service/kubepods-besteffort-pod1_2.slice:cri-containerd:A",
                Some(("A", "containerd")),
            ),
            ("/kubepods.slice/kubepods-pod1.slice/crio-A.scope", Some(("A", "crio"))),
            ("/kubepods.slice/kubepods-pod1.slice/crio-A.scope/container", Some(("A", "crio"))),
            ("/kubepods.slice/kubepods-pod1.slice/crio-conmon-A.scope", None),
            ("/kubepods.slice/kubepods-pod1.slice/docker-A.scope", Some(("A", "docker"))),
            ("/machine.slice/libpod-A.scope", Some(("A", "podman"))),
            ("/machine.slice/libpod-A.scope/container", Some(("A", "podman"))),
            ("/libpod_parent/libpod-A", Some(("A", "podman"))),
            ("/libpod_parent/conmon", None),
            ("/machine.slice/libpod-conmon-A.scope", None),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-payload-A",
                Some(("A", "podman")),
            ),
            ("/system.slice/nerdctl-A.scope", Some(("A", "containerd"))),
            ("/default/A", Some(("A", ""))),
            ("/ecs/task/A", Some(("A", "ecs"))),
            ("/lxc/web", Some(("web", "lxc"))),
            ("/lxc.payload.web/system.slice/ssh.service", Some(("web", "lxc"))),
            ("/lxc.payload/web", Some(("web", "lxc"))),
            ("/lxc.monitor.web", None),
            ("/machine.slice/systemd-nspawn@web.service/payload", Some(("web", "systemd-nspawn"))),
            ("/docker/Ag", None),
            ("/docker/abc", None),
        ] {
            let path = path.replace('A', A).replace('B', B);
            let found = of_path(&path).map(|container| (container.id, container.runtime.unwrap_or("")));
            assert_eq!(found, expected.map(|(id, runtime)| (id.replace('A', A), runtime)), "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC{0,200}") {
            let _ = of_path(&path);
        }
    }
}
