export type { HttpAnswer } from './caller.ts';
export { type Fleet, type Gym, startFleet, untilHalfway } from './fleet.ts';
export { startProxy } from './proxy.ts';
export { until } from './until.ts';
