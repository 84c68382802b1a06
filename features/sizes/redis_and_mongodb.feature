@sizes @database @mongodb @redis
@nist_cp_4
Feature: Recoveries at several sizes
  How long a recovery takes at the size of production can only be estimated: from what it takes at several smaller sizes.

  Scenario Outline: The databases are lost with <items> items in each
    Given the platform runs in two regions
    And MongoDB and Redis hold <items> items of reference data
    And clients write to MongoDB and Redis
    And MongoDB has a full backup
    And Redis has a snapshot backup
    And clients have written 20 more times to each store
    When the MongoDB and Redis servers of the primary region are killed and their disks are lost
    And recovery from backups brings back MongoDB as of its latest backup and Redis as of its latest backup
    Then the reference data is unchanged
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

    Examples:
      | items |
      | 1000  |
      | 10000 |
      | 30000 |
      | 60000 |
