# shellcheck shell=sh
# For the post-install script of another package, whose service is to be guarded from its first moment on: put this into it,
# or read it in with `.`, and call
#
#     ringfence_post_install || :
#
# before the service starts. It asks nothing, takes at most some seconds, and may run twice or at once. It returns
#   0  the rules of /etc/ringfence/cluster.toml, or of the files in clusters.d there, are in force; or there is nothing to do, and it was said why: no ringfence, no
#      cluster file, a chroot or an image that is being built, no right to change the network
#   1  the change is refused, and what was in force before still is; or rules of others shut peers out or pass these by
#   2  the file has errors, or something is wrong with the machine; what was in force before still is
#   3  the rules are in force, and rules of others are not understood
#   5  another run of ringfence was at work for ten seconds
#   6  a change waits to be confirmed, or this file was applied once and not confirmed; what was in force before still is
#   7  the kernel did not hold what was brought in, and what was in force before was brought back
# With `--require` behind it, what is 0 because there was nothing to do, or nothing could be done, is 2.
# A package that must not start unguarded takes that, leaves `|| :` away, or does not start its service where this is neither 0 nor 3.
ringfence_post_install() {
	if command -v ringfence >/dev/null 2>&1; then
		ringfence hook post-install "$@"
	fi
}
