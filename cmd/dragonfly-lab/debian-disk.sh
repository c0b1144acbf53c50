#!/bin/sh
# Makes a disk that starts on BIOS and on UEFI of a Debian root file system:
#
#   unshare --mount sh debian-disk.sh ROOT.tar DISK
#
# In a mount namespace of its own, so that nothing stays mounted.
set -eu
tar=$1 disk=$2
tmp=$(mktemp -d)
root=$tmp/root esp=$tmp/esp
mkdir "$root"
truncate -s 1G "$disk"
sfdisk -q "$disk" <<-P
	label: gpt
	start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios
	start=4096, size=32768, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp
	type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root
P
loop=$(losetup --show -fP "$disk")
trap 'umount -R "$root" 2>/dev/null || true; partx -d "$loop"; losetup -d "$loop"; rm -rf "$tmp"' EXIT
partx -u "$loop" # a kernel without GPT finds no partitions by itself
mkfs.ext4 -q -L root "${loop}p3"
mount "${loop}p3" "$root"
tar -C "$root" --numeric-owner --xattrs -xf "$tar"
for m in dev proc sys; do mount --bind "/$m" "$root/$m"; done

cat >"$root/etc/fstab" <<-F
	LABEL=root / ext4 errors=remount-ro 0 1
	LABEL=ESP /boot/efi vfat umask=0077,nofail 0 2
F
mkdir -p "$root/boot/efi" "$root/boot/grub"

# What a server in an emulated machine need not wait for: drivers of other machines,
# the upkeep of a system that lives for minutes, keys that take long to make.
cat >"$root/etc/initramfs-tools/conf.d/lab" <<-I
	MODULES=list
	COMPRESS=zstd
I
printf '%s\n' virtio_pci virtio_blk nvme ext4 >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u -k all
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer systemd-pstore.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo LANG=C.UTF-8 >"$root/etc/default/locale"
cat >"$root/etc/cloud/cloud.cfg.d/90_lab.cfg" <<-C
	locale: C.UTF-8
	ssh_genkeytypes: [ed25519]
	apt: {preserve_sources_list: true}
	grub_dpkg: {enabled: false}
	ssh: {emit_keys_to_console: false}
C

cat >>"$root/etc/default/grub" <<-G
	GRUB_TIMEOUT=0
	GRUB_TERMINAL=console
	GRUB_CMDLINE_LINUX_DEFAULT=
	# A busy host delays the emulated timer, which Linux then takes for broken.
	GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200 quiet loglevel=4 no_timer_check"
	GRUB_DISABLE_OS_PROBER=true
G
chroot "$root" update-grub
# There is no udev here to know the UUID by.
sed -i "s|root=${loop}p3|root=LABEL=root|" "$root/boot/grub/grub.cfg"
chroot "$root" grub-install --target=i386-pc "$loop"

# grub-install for UEFI wants the ESP mounted, and not every kernel has vfat. The
# path is the one that firmware looks for on a disk it was told nothing about.
cat >"$root/tmp/grub.cfg" <<-'G'
	search --label root --set=root
	set prefix=($root)/boot/grub
	configfile $prefix/grub.cfg
G
chroot "$root" grub-mkimage -O x86_64-efi -o /tmp/grub.efi -c /tmp/grub.cfg -p /boot/grub \
	part_gpt ext2 search search_label normal configfile linux echo test all_video gzio
truncate -s 16M "$esp"
mkfs.vfat -n ESP "$esp"
mmd -i "$esp" ::/EFI ::/EFI/BOOT
mcopy -i "$esp" "$root/tmp/grub.efi" ::/EFI/BOOT/BOOTX64.EFI
rm "$root/tmp/grub.efi" "$root/tmp/grub.cfg"
umount -R "$root"
sync "$disk"
dd if="$esp" of="$disk" bs=1M seek=2 conv=notrunc,fsync status=none
