import { v7 } from 'uuid';

/** A new UUID v7: ordered by time, which is what partitions and "newest first" rest on. */
export function newId(): string {
  return v7();
}
