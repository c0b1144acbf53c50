// Package metadata serves what an installed system asks for at its first boot, and
// takes its word that it is up:
//
//	/boot/metadata/{token}/user-data, meta-data, vendor-data, network-config   NoCloud, with ds=nocloud;s=.../{token}/
//	/boot/metadata/{token}/{version}/meta-data/..., {version}/user-data        as Amazon EC2 has it; version is latest or 2009-04-04
//	/boot/metadata/{token}/ignition                                            with ignition.config.url=
//	/boot/metadata/{token}/phone-home                                          POST, as cloud-init's phone_home does it
//	/boot/metadata/{token}/installer                                           POST, what an installer says of itself
//
// Nobody is known by address: the token is all there is, and it is good for one
// deployment of one machine. What is served has secrets, password hashes and join
// tokens. cloud-init asks several times within one boot, and again where an answer
// was lost, so that the first read cannot be the last; a token is good until the
// system has phoned home, or its deadline is over. Every read is on the machine's
// timeline.
//
// What is refused is refused in one line of plain text, since it is read in the log
// of a machine: 404 for a token that never was, 410 with the reason for one that is
// good no more, 429 and 503 for what is worth another try.
package metadata
