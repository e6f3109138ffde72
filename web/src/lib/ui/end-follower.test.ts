import { describe, expect, it, vi } from 'vitest';
import { EndFollower } from './end-follower.ts';

describe('following the end of what grows', () => {
  it('ends at once when the reader looks back, before anything has scrolled', () => {
    const onChange = vi.fn();
    const follower = new EndFollower(true, onChange);
    follower.scrolled(1_000, true);
    follower.move('back');
    expect(follower.isOn).toBe(false);
    expect(onChange).toHaveBeenCalledExactlyOnceWith(false);
  });

  it('is not resumed by a scroll of its own that is told after the reader looked back', () => {
    const follower = new EndFollower(true);
    follower.scrolled(1_000, true);
    follower.move('back');
    follower.scrolled(1_036, true); // the last step to the end, on its way before the hand moved
    follower.scrolled(1_026, true); // the first pixels of a smooth scroll
    follower.scrolled(900, false);
    expect(follower.isOn).toBe(false);
  });

  it('is not resumed by a way to the end that the reader broke off', () => {
    const follower = new EndFollower(false);
    follower.start();
    follower.move('back');
    follower.scrolled(500, false); // on its way still
    follower.scrolled(1_000, true);
    expect(follower.isOn).toBe(false);
  });

  it('resumes when the reader comes to the end again, by hand or not', () => {
    for (const hand of ['forward', null] as const) {
      const follower = new EndFollower(true);
      follower.scrolled(1_000, true);
      follower.move('back');
      follower.scrolled(900, false);
      if (hand) follower.move(hand);
      follower.scrolled(1_000, true);
      expect(follower.isOn).toBe(true);
    }
  });

  it('goes on while the end moves away from a reader who did nothing', () => {
    const follower = new EndFollower(true);
    follower.scrolled(1_000, true);
    follower.scrolled(1_000, false);
    expect(follower.isOn).toBe(true);
  });

  it('ends when the scrollbar is held, and resumes when it is let go at the end', () => {
    const follower = new EndFollower(true);
    follower.scrolled(1_000, true);
    follower.move('free');
    follower.scrolled(400, false);
    expect(follower.isOn).toBe(false);
    follower.scrolled(1_000, true);
    expect(follower.isOn).toBe(true);
  });

  it('starts again from anywhere when it is told to', () => {
    const follower = new EndFollower(false);
    follower.move('back');
    follower.start();
    follower.scrolled(1_000, true);
    expect(follower.isOn).toBe(true);
  });
});
