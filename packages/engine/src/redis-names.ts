/** Default of `NIGHTSHIFT_NS`: what every name in Redis begins with, so that two installations can share a server. */
export const DEFAULT_NAMESPACE = 'ns';

/** BullMQ prefix of a queue. The hash tag keeps all keys of a queue in one slot of a Redis Cluster. */
export function queuePrefix(namespace: string, queue: string): string {
  return `{${namespace}:${queue}}`;
}

/** Published with a queue's name when runs were committed to it. */
export function wakeChannel(namespace: string): string {
  return `${namespace}:wake`;
}

/** Published with `[[run id, status], …]` after ends were committed. */
export function endedChannel(namespace: string): string {
  return `${namespace}:ended`;
}

/** Published with a run's id when a person asked to cancel it. */
export function cancelChannel(namespace: string): string {
  return `${namespace}:cancel`;
}

/** Holds the incarnation that Postgres last saw: another value or none means that Redis was emptied. */
export function incarnationKey(namespace: string): string {
  return `${namespace}:incarnation`;
}

/** Postgres channel of `acceptIn`: its notification arrives when the caller's transaction commits. */
export const PG_WAKE_CHANNEL = 'nightshift_wake';

/** Queue of the mirrored schedules. */
export const SCHEDULES_QUEUE = 'schedules';
