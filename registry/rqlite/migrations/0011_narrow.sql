-- What filters could only find by reading every machine: by the name of the host, and what
-- few machines are. The last two cost nothing to write where a machine is not.
CREATE INDEX machines_hostname ON machines (hostname COLLATE NOCASE, id);

CREATE INDEX machines_arch ON machines (arch COLLATE NOCASE) WHERE arch <> 'amd64';

CREATE INDEX machines_locked ON machines (locked) WHERE locked <> 0;
