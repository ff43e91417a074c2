-- A page holds the ids of some 500 runs, and a fleet's dispatch has more: what fits stays in the row, the rest lies outside, uncompressed as ids are.
ALTER TABLE ops.dispatches ALTER COLUMN runs SET STORAGE EXTERNAL;
--> statement-breakpoint
ALTER TABLE ops.dispatches SET (toast_tuple_target = 8160);
