import { NightshiftError } from '@nightshift/engine';

/** A person or a supervisor ended the command; what it had started is not the command's and goes on. */
export class StoppedError extends NightshiftError {
  constructor(signal: string) {
    super('stopped', `Stopped by ${signal}; runs that were started go on, nightshift runs shows them.`);
  }
}
