@resilience @critical @database @redis
@nist_cp_4 @dora_24_26 @pci_dss_12_10 @iso_27001_a_5_29 @iso_27001_a_8_14
Feature: A replica that had stopped to follow
  A failover to a replica that fell behind unseen loses all that was acknowledged since. The loss must be told exactly, write by write, and
  what only the lost region's disks still had must be found there and saved when it comes back.

  Scenario: The replica of Redis has stopped to follow, and the primary region is killed
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the fault replication-stopped happens with store: redis
    And clients have written 200 more times to each store
    And the primary region is killed
    And the platform fails over to the secondary region
    And the primary region comes back as a follower
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And what the lost region alone had was saved
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
