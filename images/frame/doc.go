// Package frame is the file format of disk images that machines fetch over HTTP
// and write as they arrive.
//
// A file is the raw image cut into chunks of 4 MiB, each a zstd frame of its own,
// and an index of them in a skippable frame (RFC 8878 section 3.1.2) at the end.
// Any zstd decodes it: `zstd -dc FILE` is the image. Who reads the index as well
// fetches chunks by range, on many connections, decodes them on all cores, and
// leaves out what is a hole.
//
// The SHA-256 of the index is the image's [Name], and the index has the SHA-256 of
// each chunk as it is packed. Who knows the name believes nothing else: [Open] and
// [ParseIndex] refuse an index of another name, and [Decoder.Decode] refuses a
// chunk of another sum before it looks into it. DESIGN.md has the bytes.
//
// [Pack] writes files, [Index.Verify] reads one whole. The package touches no disk
// and no network.
package frame
