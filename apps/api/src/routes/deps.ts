import type { Producer } from '@nightshift/engine/accept';

/** What the routes need to work. */
export interface RouteDeps {
  readonly producer: Producer;
}
