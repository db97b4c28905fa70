//! What a node does with its volume at the first boot: finds it, makes a file system if it has none, and
//! mounts it where the data go. Later boots have it in fstab.

use super::topology::Role;
use super::user_data::{self, File};
use super::volume;

pub const MOUNT: &str = "/usr/local/sbin/faafo-volume";

/// As much of a volume's id as all hypervisors give as the serial number of a disk.
const SERIAL: usize = 20;

/// The files for a volume with this id.
pub fn files(id: &str, role: Role, tells: bool) -> Vec<File> {
    let mut files = vec![(MOUNT, "0700", script(id, volume::folder(role), tells))];
    if role == Role::Services {
        // faafo's own units name their folder, by which they wait for it.
        files.push((
            "/etc/systemd/system/mariadb.service.d/volume.conf",
            "0644",
            "[Unit]\nRequiresMountsFor=/var/lib/mysql\n".into(),
        ));
    }
    files
}

/// `nofail`: without its volume a node still boots, so that one can log in; the service alone stays away.
/// What cannot be read for certain as empty is never written to.
fn script(id: &str, folder: &str, tells: bool) -> String {
    let words = user_data::words(tells);
    let serial = id.get(..SERIAL).unwrap_or(id);
    format!(
        r#"#!/bin/sh
# Mounts the volume {id} at {folder}, at the first boot.
set -u
{words}
by=/dev/disk/by-id
find_disk() {{
    for disk in "$by"/*'{serial}'*; do
        case $disk in *-part[0-9]*) continue ;; esac
        [ -e "$disk" ] && return
    done
    return 1
}}
! mountpoint -q {folder} || exit 0
tries=0
until find_disk; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || fail "the volume {id} is not among the disks: $(ls "$by" | tr '\n' ' ')"
    [ "$tries" -ne 5 ] || say "waiting for the volume"
    sleep 1
done
head -c 1048576 "$disk" >/dev/null || fail "cannot read the volume"
kind=$(blkid -p -o value -s TYPE "$disk")
case $?:$kind in
2:)
    say "making a file system on the volume"
    why=$(mkfs.ext4 -q -m 0 -L faafo-data "$disk" 2>&1 </dev/null) || fail "cannot make a file system on the volume: $why"
    kind=ext4 new=yes
    ;;
0:ext4)
    new=
    e2fsck -p "$disk" >/dev/null 2>&1
    [ $? -lt 4 ] || fail "the file system on the volume is damaged, and is left as it is: run e2fsck on $disk"
    ;;
*) fail "what is on the volume is no file system of faafo's, and is left as it is: ${{kind:-perhaps it has partitions}}" ;;
esac
uuid=$(blkid -p -o value -s UUID "$disk") || fail "the volume's file system has no name"
mkdir -p {folder}
grep -q " {folder} " /etc/fstab ||
    echo "UUID=$uuid {folder} $kind defaults,nofail,x-systemd.device-timeout=120 0 2" >>/etc/fstab
systemctl daemon-reload
why=$(mount "$disk" {folder} 2>&1) || fail "cannot mount the volume: $why"
if [ -n "$new" ]; then
    # MariaDB would take it for a database.
    rmdir {folder}/lost+found
else
    # It may have become larger.
    why=$(resize2fs "$disk" 2>&1) || say "cannot make the file system as large as the volume: $why"
fi
"#
    )
}
