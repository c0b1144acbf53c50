-- Machines that are alike in what an index is by are in it in the order of their IDs,
-- which is that of their age, and not of their names any more: a new one comes behind the
-- others. Else each of these indexes has a page written for each machine, which was more
-- than all the rest of it. A node of an earlier version sorts by itself until it is
-- upgraded too.
DROP INDEX machines_state;

CREATE INDEX machines_state ON machines (state, id);

DROP INDEX machines_vendor;

CREATE INDEX machines_vendor ON machines (vendor COLLATE NOCASE, id);

DROP INDEX machines_model;

CREATE INDEX machines_model ON machines (model COLLATE NOCASE, id);

DROP INDEX machines_created;

CREATE INDEX machines_created ON machines (created_ms, id);

DROP INDEX machines_registered;

CREATE INDEX machines_registered ON machines (registered_ms, id);

DROP INDEX machines_owner;

CREATE INDEX machines_owner ON machines (owner COLLATE NOCASE) WHERE owner <> '';

DROP INDEX machines_os;

CREATE INDEX machines_os ON machines ((operator ->> '$.os') COLLATE NOCASE) WHERE operator ->> '$.os' IS NOT NULL;
