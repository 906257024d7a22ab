import TestKit
import Testing
import Time

@testable import Deployments

struct FollowersTests {
    @Test func everyWaitEndsWhenAllAreWoken() async {
        let followers: Followers = Followers(clock: ManualClock())
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { await followers.wait(atMost: .seconds(3600)) } }
            // A wait may begin after a wake: so until all have ended.
            let waker: Task<Void, Never> = Task {
                while !Task.isCancelled {
                    followers.wakeAll()
                    await Task.yield()
                }
            }
            await group.waitForAll()
            waker.cancel()
        }
    }

    @Test func aWaitEndsAtItsLimit() async {
        let clock: ManualClock = ManualClock()
        let followers: Followers = Followers(clock: clock)
        let wait: Task<Void, Never> = Task { await followers.wait(atMost: .seconds(10)) }
        let time: Task<Void, Never> = Task {
            while !Task.isCancelled {
                clock.advance(by: .seconds(5))
                await Task.yield()
            }
        }
        await wait.value
        time.cancel()
    }

    @Test func aCancelledWaitEnds() async {
        let followers: Followers = Followers(clock: ManualClock())
        let wait: Task<Void, Never> = Task { await followers.wait(atMost: .seconds(3600)) }
        wait.cancel()
        await wait.value
    }
}
