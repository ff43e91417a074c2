export { dispatchByHand, dispatchOf } from './dispatch-by-hand.ts';
export { fakeClock } from './fake-clock.ts';
export { type MailServer, mailServer, type ReceivedMail } from './mail-server.ts';
export { runJob } from './run-job.ts';
export { TEST_ENCRYPTION_KEYS, type TestEngine, type TestEngineOptions, testEngine } from './test-engine.ts';
export { type TestStore, testStore } from './test-store.ts';
export { until } from './until.ts';
