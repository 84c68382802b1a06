@resilience @critical @database @mongodb @redis
@nist_cp_4 @dora_24_26 @pci_dss_12_10 @iso_27001_a_5_29
Feature: Backups that were hurt
  A recovery is only as good as the backups, and whoever hurts a platform begins with them. Each of these must be found before anything is
  restored. When the vault is as it should be again, the recovery goes through.

  Scenario Outline: <what>
    Given the platform runs in two regions
    And Redis holds reference data
    And clients write to Redis
    And Redis has a snapshot backup
    And clients have written 20 more times to each store
    When the fault <fault> happens with store: redis
    And the damage of the backups of Redis is found before anything is restored
    And the disaster is over
    And the Redis server of the primary region is killed and its disk is lost
    And recovery from backups brings back Redis as of its latest backup
    Then the backups used were whole
    And the reference data is unchanged
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

    Examples:
      | what                                          | fault              |
      | A backup has a wrong bit                      | backup-bit-flipped |
      | A backup is gone                              | backup-deleted     |
      | The key of a backup is lost                   | backup-wrong-key   |
      | A manifest was forged                         | manifest-forged    |
      | A backup from the future would expire others  | retention-poisoned |
