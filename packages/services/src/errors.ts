/** Somebody else runs the server of this directory; carries the pid of that process. */
export class AlreadyRunningError extends Error {
  override readonly name = 'AlreadyRunningError';
  readonly pid: number;

  constructor(what: string, dir: string, pid: number) {
    super(
      `${what} in ${dir} is already running under process ${pid}: stop that one, or choose another NIGHTSHIFT_HOME`,
    );
    this.pid = pid;
  }
}

/** A server did not come up; the message ends with the last lines of its log. */
export class ServerStartError extends Error {
  override readonly name = 'ServerStartError';

  constructor(what: string, reason: string, logTail: string) {
    super(`${what} did not start: ${reason}${logTail === '' ? '' : `\n${logTail}`}`);
  }
}

/** There is no binary for this machine; the message says what to install. */
export class MissingBinaryError extends Error {
  override readonly name = 'MissingBinaryError';
}

/** A supervised process ended, or stayed silent, before it said that it was ready. */
export class ChildNotReadyError extends Error {
  override readonly name = 'ChildNotReadyError';

  constructor(childName: string, reason: string, logFile: string) {
    super(`${childName} ${reason}; its log is ${logFile}`);
  }
}
