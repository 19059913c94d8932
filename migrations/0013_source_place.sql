-- Up Migration
-- A log that was altered and then moved is found by the file it was seen as, and by the path it was seen under, however many sources there are.
create index source_inode on mendflow.source ((hint->>'inode'));
create index source_place on mendflow.source using hash ((hint->>'path'));

-- Down Migration
drop index mendflow.source_place;
drop index mendflow.source_inode;
