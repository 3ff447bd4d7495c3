# shellcheck shell=sh
# For the post-install script of another package, whose service is to be guarded from its first moment on: put this into it,
# or read it in with `.`, and call
#
#     ringfence_post_install || :
#
# before the service starts. It asks nothing, takes at most some seconds, and may run twice or at once. It returns
#   0  the rules of /etc/ringfence/cluster.toml are in force; or there is nothing to do, and it was said why: no ringfence, no
#      cluster file, a chroot or an image that is being built, no right to change the network
#   1  they are not, because the file has errors, or the change is refused or has to wait; what was in force before still is
#   2  something is wrong with the machine
# A package that must not start unguarded leaves `|| :` away, or does not start its service where this is not 0.
ringfence_post_install() {
	if command -v ringfence >/dev/null 2>&1; then
		ringfence hook post-install
	fi
}
