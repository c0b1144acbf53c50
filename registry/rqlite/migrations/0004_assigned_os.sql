-- Machines that have an operating system assigned. A filter writes it alike.
CREATE INDEX machines_os ON machines ((operator ->> '$.os') COLLATE NOCASE, name) WHERE operator ->> '$.os' IS NOT NULL;
