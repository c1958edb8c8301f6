import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What a BI tool asks by ClickHouse's own driver for JDBC: its metadata, every table, some values. */
public final class Metadata {
  private static int count(ResultSet rows) throws SQLException {
    int count = 0;
    while (rows.next()) {
      count++;
    }
    return count;
  }

  private static void tell(String what, Object found) {
    System.out.println(what + "\t" + found);
  }

  private static List<String> tables(DatabaseMetaData about, String database) throws SQLException {
    List<String> names = new ArrayList<>();
    ResultSet rows = about.getTables(null, database, "%", null);
    while (rows.next()) {
      names.add(rows.getString("TABLE_NAME"));
    }
    return names;
  }

  private static void scan(Connection connection, String database, List<String> names)
      throws SQLException {
    for (String name : names) {
      String query = "SELECT * FROM `" + database + "`.`" + name + "` LIMIT 1";
      try (Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery(query)) {
        count(rows);
      } catch (SQLException error) {
        tell("refused", name);
      }
    }
  }

  /** Arguments: the address (jdbc:clickhouse://...) and the database to look at. */
  public static void main(String[] arguments) throws Exception {
    Class.forName("com.clickhouse.jdbc.Driver");
    String database = arguments[1];
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      DatabaseMetaData about = connection.getMetaData();
      tell("product", about.getDatabaseProductName());
      tell("valid", connection.isValid(5));
      tell("types", count(about.getTypeInfo()) > 0);
      tell("schemas", count(about.getSchemas()) > 0);
      tell("kinds", count(about.getTableTypes()) > 0);
      tell("columns", count(about.getColumns(null, database, "v_aging", "%")));
      tell("keys", count(about.getPrimaryKeys(null, database, "invoices")) > 0);
      tell("imported", count(about.getImportedKeys(null, database, "invoices")));
      tell("indices", count(about.getIndexInfo(null, database, "invoices", false, true)));
      tell("functions", count(about.getFunctions(null, null, "%")) > 0);
      List<String> names = tables(about, database);
      tell("tables", names.size());
      scan(connection, database, names);
      try (Statement statement = connection.createStatement()) {
        String many = "SELECT number, toString(number) FROM numbers(300000)";
        tell("rows", count(statement.executeQuery(many)));
        tell("none", count(statement.executeQuery("SELECT number FROM numbers(0)")));
      }
      try (PreparedStatement statement = connection.prepareStatement("SELECT ?, ? + 1")) {
        statement.setString(1, "it's");
        statement.setInt(2, 41);
        ResultSet rows = statement.executeQuery();
        rows.next();
        tell("bound", rows.getString(1) + " " + rows.getInt(2));
      }
    }
  }
}
