#!/bin/sh
# ansible-core 2.14.18 makes a variable that is itself a template anew at each mention of it, inside a loop of one template as well: two such
# variables over ten hosts are a hundred runs of the inner one, over fifty hosts 2,500. ansible-core 2.19.14 makes it once.
#
# Seen: a filter that writes a dot for each of its runs leaves 100 dots with 2.14.18 and one with 2.19.14, with the same output. Expected: while one
# template is rendered, a variable of it has one value and is made once. A role whose variables are tables of all hosts takes hours for
# fifty of them, unless it takes each such table once, with `{% set %}` before its loops.
#
# Needs Python 3.11 with venv.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir filter_plugins
cat >filter_plugins/count.py <<'EOF'
class FilterModule:
    def filters(self):
        def counted(value):
            with open("count", "a") as file:
                file.write(".")
            return value
        return {"counted": counted}
EOF
cat >play.yml <<'EOF'
- hosts: localhost
  gather_facts: false
  vars:
    all_hosts: "{{ range(10) | map('string') | list }}"
    addresses: "{{ dict(all_hosts | zip(all_hosts)) | counted }}"
    names: >-
      {%- set found = {} -%}
      {%- for host in all_hosts -%}{%- set _ = found.update({host: 'n' ~ addresses[host]}) -%}{%- endfor -%}
      {{ found }}
  tasks:
    - ansible.builtin.copy:
        content: "{% for host in all_hosts %}{{ names[host] }} {% endfor %}"
        dest: "{{ playbook_dir }}/out"
        mode: "0600"
EOF
seen=
for version in 2.14.18 2.19.14; do
	python3 -m venv "venv-$version"
	"venv-$version/bin/pip" install -q --disable-pip-version-check "ansible-core==$version" >/dev/null 2>&1
	rm -f count out
	HOME=$folder ANSIBLE_LOCALHOST_WARNING=0 "venv-$version/bin/ansible-playbook" play.yml >/dev/null 2>&1
	runs=$(wc -c <count)
	echo "ansible-core $version: $runs runs of the filter, output: $(cat out)"
	seen="$seen $runs $(md5sum <out | cut -c1-8)"
done
[ "$seen" = " 100 $(printf 'n0 n1 n2 n3 n4 n5 n6 n7 n8 n9 ' | md5sum | cut -c1-8) 1 $(printf 'n0 n1 n2 n3 n4 n5 n6 n7 n8 n9 ' | md5sum | cut -c1-8)" ] || {
	echo 'the behaviour has changed' >&2
	exit 1
}
