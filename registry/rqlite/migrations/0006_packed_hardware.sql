-- The hardware of a machine is compressed from here on. Nothing of the tables changes:
-- the number keeps a binary that cannot read it from trying.
DELETE FROM machines WHERE FALSE;

