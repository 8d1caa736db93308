# Turns fresh mount, pid, uts and ipc namespaces into a machine of its own: what is written to the system's directories
# lands below $1, and all of it is gone with the last process. $1: the machine's directory, $2: its name, $3: its init.
set -eu
read -r pid _ </proc/self/stat # /proc is still the outer one
echo "$pid" >"$1/pid.new"

mount --make-rprivate /
mount -t proc proc /proc
hostname "$2"
mount -t tmpfs tmpfs /run
mkdir -p /run/node /run/netns /run/lock
mount --bind "$1" /run/node
if [ "$(stat -f -c %T /run/node)" = overlayfs ]; then # an overlay cannot lie on an overlay
    mkdir -p /run/node/disk
    mount -t tmpfs tmpfs /run/node/disk
fi
for directory in etc usr var opt; do
    upper=/run/node/disk/overlay/$directory
    mkdir -p "$upper/upper" "$upper/work"
    mount -t overlay -o "lowerdir=/$directory,upperdir=$upper/upper,workdir=$upper/work" overlay "/$directory"
done
for directory in /var/lib/containerd /var/lib/kubelet /var/lib/etcd /var/log/pods /var/log/containers; do
    mkdir -p "$directory" "/run/node/disk$directory"
    mount --bind "/run/node/disk$directory" "$directory"
done
rm -rf /etc/kubernetes /etc/cni
mkdir -p /etc/kubernetes /etc/cni/net.d /opt/cni/bin
mount --make-rshared /

for controller in /sys/fs/cgroup/*/; do # version 1: a controller's hierarchy each; version 2: there are no such files
    [ -e "$controller/tasks" ] || continue # release_agent is in the root group alone, which a container does not see
    mkdir -p "$controller/warren-$2"
    for file in cpuset.cpus cpuset.mems; do
        [ -e "$controller/$file" ] && cat "$controller/$file" >"$controller/warren-$2/$file"
    done
done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/warren-$2" # it has its controllers from its parent
fi
mv "$1/pid.new" "$1/pid" 2>/dev/null || mv /run/node/pid.new /run/node/pid
exec "$3"
