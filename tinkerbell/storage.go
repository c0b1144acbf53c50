package tinkerbell

// Storage is how the disks are to be divided.
type Storage struct {
	Disks       []*StorageDisk       `json:"disks,omitempty"`
	Raid        []*StorageRAID       `json:"raid,omitempty"`
	Filesystems []*StorageFilesystem `json:"filesystems,omitempty"`
}

// StorageDisk is one disk of it.
type StorageDisk struct {
	Device     string              `json:"device,omitempty"`
	WipeTable  bool                `json:"wipe_table,omitempty"`
	Partitions []*StoragePartition `json:"partitions,omitempty"`
}

// StoragePartition is one partition of it.
type StoragePartition struct {
	Label    string `json:"label,omitempty"`
	Number   int64  `json:"number,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Start    int64  `json:"start,omitempty"`
	TypeGUID string `json:"type_guid,omitempty"`
}

// StorageRAID is an array of disks.
type StorageRAID struct {
	Name    string   `json:"name,omitempty"`
	Level   string   `json:"level,omitempty"`
	Devices []string `json:"devices,omitempty"`
	Spare   int64    `json:"spare,omitempty"`
}

// StorageFilesystem is one file system of it.
type StorageFilesystem struct {
	Mount *StorageMount `json:"mount,omitempty"`
}

// StorageMount is where a file system is mounted, and how it is made.
type StorageMount struct {
	Device string         `json:"device,omitempty"`
	Format string         `json:"format,omitempty"`
	Files  []*StorageFile `json:"files,omitempty"`
	Create *StorageCreate `json:"create,omitempty"`
	Point  string         `json:"point,omitempty"`
}

// StorageFile is a file in it.
type StorageFile struct {
	Path     string `json:"path,omitempty"`
	Contents string `json:"contents,omitempty"`
	Mode     int64  `json:"mode,omitempty"`
	UID      int64  `json:"uid,omitempty"`
	GID      int64  `json:"gid,omitempty"`
}

// StorageCreate are options for making a file system.
type StorageCreate struct {
	Force   bool     `json:"force,omitempty"`
	Options []string `json:"options,omitempty"`
}
