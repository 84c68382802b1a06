@monthly @critical @database @redis
@soc_2_a1_2 @iso_27001_a_8_13 @nist_cp_9 @pci_dss_12_10 @hipaa_164_308_a_7 @dora_12 @nis2_21_2_c
Feature: Oversight of the backups
  Backups are worth what they are guarded and watched. After a recovery the vault's server itself is asked whether writer, reader, pruner and
  auditor may do their own work and nothing else, and the watch is shown everything that it must tell.

  Scenario: Redis is lost and recovered, its backups are guarded, and what goes wrong with them is told
    Given the platform runs in two regions
    And Redis holds reference data
    And clients write to Redis
    And Redis has a snapshot backup
    And the log of Redis is captured continuously
    And clients have written 50 more times to each store
    When the Redis server of the primary region is killed and its disk is lost
    And recovery from backups brings back Redis as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And every acknowledged write is accounted for
    And each identity may do its work at the vault and nothing else
    And each alert is raised by its cause and ends with its cure
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
