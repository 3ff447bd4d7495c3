"""Ansible against the nodes: the inventory, one run, and what came of it."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from place import HERE, PLACE

SSH = ("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=5 -o ControlMaster=auto "
       "-o ControlPersist=60s")


class Run:
    """What came of a run of the playbook."""

    def __init__(self, code, text, records, seconds):
        self.code, self.text, self.records, self.seconds = code, text, records, seconds

    def of(self, task, how=None):
        return [one for one in self.records if one["task"] == task and how in (None, one["how"])]

    def changed(self):
        """Where a run changed something, and in check mode where it would."""
        return sorted((one["host"], one["task"]) for one in self.records if one["changed"])

    def applied(self):
        """Whose rules or files were changed, in this order."""
        return [one["host"] for one in self.of("Bring the cluster file and its rules into force", "ok") if one["changed"]]


class Controller:
    def __init__(self, ansible, collection, package):
        self.ansible, self.package, self.number = ansible, package, 0
        self.folder = PLACE / "controller"
        self.folder.mkdir()
        self.environment = dict(
            os.environ, HOME=str(self.folder), ANSIBLE_HOME=str(self.folder / "ansible"), LC_ALL="C.UTF-8",
            ANSIBLE_COLLECTIONS_PATH=str(self.folder / "collections"), ANSIBLE_COLLECTIONS_PATHS=str(self.folder / "collections"),
            ANSIBLE_PIPELINING="1", ANSIBLE_SSH_ARGS=SSH, ANSIBLE_SSH_CONTROL_PATH_DIR=str(self.folder / "cp"), ANSIBLE_FORKS="10",
            ANSIBLE_HOST_KEY_CHECKING="0", ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback"), ANSIBLE_CALLBACKS_ENABLED="record",
            ANSIBLE_NOCOLOR="1", ANSIBLE_FORCE_COLOR="0", ANSIBLE_TIMEOUT="10", ANSIBLE_GALAXY_DISPLAY_PROGRESS="0",
            ANSIBLE_LOCALHOST_WARNING="0", ANSIBLE_INVENTORY_UNPARSED_WARNING="0", ANSIBLE_DEPRECATION_WARNINGS="0")
        for unwanted in ("ANSIBLE_COLLECTIONS_PATHS",):
            self.environment.pop(unwanted)
        ended = subprocess.run([self.tool("ansible-galaxy"), "collection", "install", str(collection), "-p", str(self.folder / "collections"), "--offline"],
                               env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(ended.stdout + ended.stderr)

    def tool(self, name):
        return str(pathlib.Path(self.ansible) / name)

    def version(self):
        return subprocess.run([self.tool("ansible-playbook"), "--version"], env=self.environment, capture_output=True, text=True).stdout.split("\n")[0]

    def inventory(self, nodes, leaving=(), **changes):
        """One YAML file; JSON is YAML."""
        def host(node):
            return dict(ansible_host=node.address)
        settings = dict(
            ansible_user="root", ansible_ssh_private_key_file=str(PLACE / "key"), ansible_python_interpreter="/usr/bin/python3",
            cluster_name="fleet", cluster_private=["10.77.0.0/24"], cluster_services={"distribution": {"ports": "6000-6009"}},
            cluster_package_file=str(self.package), cluster_confirm_within=120, cluster_connect_timeout=30,
            cluster_clients=[dict(name="momentum", **{"from": ["10.77.0.150"]}, services=["http"])])
        settings.update(changes)
        # A client that is a host of the inventory is one by its variables, of which each may be a text or a list.
        clients = dict(hosts=dict(web=dict(ansible_host="10.77.0.152", ringfence_services="http")))
        groups = dict(clients=clients, nodes=dict(hosts={node.name: host(node) for node in nodes}), leaving=dict(hosts={node.name: host(node) for node in leaving}))
        path = self.folder / "inventory.yml"
        path.write_text(json.dumps(dict(all=dict(vars=settings, children=groups)), indent=1))

    def cluster_file(self, count):
        """The cluster file of so many nodes and clients, as the role makes it, for each of two of them. Nobody is connected to."""
        def hosts(prefix, subnet, **more):
            return {"%s%d" % (prefix, at): dict(ansible_host="10.78.%d.%d" % (subnet, at + 1), **more) for at in range(count)}
        settings = dict(ansible_connection="local", cluster_name="many", cluster_private=["10.78.0.0/16"])
        groups = dict(nodes=dict(hosts=hosts("n", 1)), clients=dict(hosts=hosts("c", 2, ringfence_services=["http"])))
        role = self.folder / "collections/ansible_collections/ringfence/cluster/roles/cluster"
        made = "{{ lookup('ansible.builtin.template', '%s/templates/cluster.toml.j2', template_vars={'cluster__hosts': cluster__everyone}) }}" % role
        said = dict(name="Say it", **{"ansible.builtin.copy": dict(content=made, dest=str(self.folder) + "/many.{{ inventory_hostname }}", mode="0600")})
        play = dict(hosts="n0:n1", gather_facts=False, vars_files=[str(role / "defaults/main.yml"), str(role / "vars/main.yml")], tasks=[said])
        (self.folder / "many.inventory.yml").write_text(json.dumps(dict(all=dict(vars=settings, children=groups))))
        (self.folder / "many.yml").write_text(json.dumps([play]))
        # A bound, and no measure: what grows with the third power of the hosts takes hours.
        ended = subprocess.run([self.tool("ansible-playbook"), "-i", "many.inventory.yml", "many.yml"], env=self.environment, cwd=self.folder,
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        if ended.returncode:
            raise RuntimeError(ended.stdout + ended.stderr)
        return [(self.folder / ("many." + node)).read_text() for node in ("n0", "n1")]

    def run(self, *arguments, meanwhile=None):
        """`meanwhile` runs beside it, with the process."""
        self.number += 1
        record = self.folder / ("record.%d" % self.number)
        record.write_text("")
        words = [self.tool("ansible-playbook"), "ringfence.cluster.rollout", "-i", str(self.folder / "inventory.yml")] + list(arguments)
        begun = time.monotonic()
        with open(self.folder / ("output.%d" % self.number), "w+") as output:
            process = subprocess.Popen(words, env=dict(self.environment, FLEET_RECORD=str(record)), stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder)
            beside = threading.Thread(target=meanwhile, args=(process,), daemon=True) if meanwhile else None
            if beside:
                beside.start()
            try:
                code = process.wait(3600)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            if beside:
                beside.join(60)
                assert not beside.is_alive(), "what was to happen meanwhile never did"
            output.seek(0)
            text = output.read()
        records = [json.loads(line) for line in record.read_text().splitlines()]
        return Run(code, text, records, time.monotonic() - begun)
